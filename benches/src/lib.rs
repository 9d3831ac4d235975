//! Fidelog's benchmarks, and the bare floors they are compared to.
//!
//! A figure of a broker means little by itself: it is mostly the disk's and the network's. So each row of the table
//! first shows a *floor*, the least that any program must do for that work on that machine, measured in the same
//! run; then Fidelog at the same [`Shape`](shape::Shape); then the ratio of the two. Ratios are what to quote:
//! absolute figures of one virtual machine swing by a third from hour to hour.
//!
//! # Floors
//!
//! - [`floor::disk`]: one thread, positional append and `fdatasync`, one at a time; into a file that is only
//!   allocated (as a growing log is), and into one whose blocks were written with zeros before.
//! - [`floor::grpc`]: a client and a server process; the server stores nothing. Streams and unary calls.
//! - [`floor::pipeline`]: client, leader and follower processes. The leader checks a CRC-32, appends with group
//!   commit, and pushes to its followers at the same time, which do the same; it answers when all have synced.
//! - [`floor::catch_up`]: a server streams a written file in 1 MiB messages; the client checks them.
//!
//! # Running
//!
//! ```text
//! cargo bench -p fidelog-benches                      everything
//! cargo bench -p fidelog-benches -- grpc              one section: disk, grpc, pipeline, partitions, broker, failover,
//!                                                     moves, scale, steady
//! cargo bench -p fidelog-benches -- "catch-up"        rows by a part of their name
//! cargo bench -p fidelog-benches -- --test            only whether it works
//! ```
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `FIDELOG_BENCH_SECTIONS` | sections, comma separated | all |
//! | `FIDELOG_BENCH_SECONDS` | time of one repetition, after a warm-up of a fifth of it (at most 0.5 s) | 2 |
//! | `FIDELOG_BENCH_REPETITIONS` | repetitions of each contender; the table shows medians | 3 |
//! | `FIDELOG_BENCH_DIR` | where data is kept; must be on a disk, with some 10 GiB free | the system's temporary directory |
//! | `FIDELOG_BENCH_JSON` | a file that gets one line per row, with every repetition | none |
//! | `FIDELOG_BENCH_THREADS` | worker threads of each floor process's runtime | 1 |
//! | `FIDELOG_BENCH_RECOVERY_GIB` | what the killed broker has stored before it is started again | 1 |
//! | `FIDELOG_BENCH_FAILOVERS` | how many brokers are killed, how many paused, how many cut off | 6 |
//! | `FIDELOG_BENCH_MOVES` | how many leaders are moved by order | 60 |
//! | `FIDELOG_BENCH_STOPS` | how many brokers are stopped as planned | 12 |
//! | `FIDELOG_BENCH_TOPICS` | topics made at once | 1,000 |
//! | `FIDELOG_BENCH_SCALE_PARTITIONS` | partitions of the cluster that is started, left idle and hurt | 10,000 |
//! | `FIDELOG_BENCH_STEADY_SECONDS` | how long nothing may happen under full load; 600 for the promise | 60 |
//! | `FIDELOG_BENCH_DROP_CACHE` | when set, the pipeline's replicas drop what they synced from the page cache | kept |
//!
//! To repeat a figure: an idle machine, the same disk, the release build that `cargo bench` makes, and the line the
//! table begins with. Data is removed at the end.
//!
//! # Reading the table
//!
//! The shape reads "bytes of a record x records of a message, messages in flight per producer". Latencies are of
//! whole messages, from the moment the client hands one over to its answer; with many in flight they show the
//! queue, not the work. Rates count answered payload only. Each figure is the median over repetitions by itself,
//! and contenders take turns. A ratio is product over floor: above 1 is worse for latencies and better for rates.
//!
//! On a virtual machine that gets its memory lazily, each fresh page of a file's cache can cost several times the
//! copy into it, which then bounds every bulk row, floor and product alike. A row that gains much from
//! `FIDELOG_BENCH_DROP_CACHE` shows it; the disk floor always drops, because it is about the disk.
//!
//! # The product
//!
//! [`product`]: brokers as processes of their own at loopback addresses of their own, at the defaults of a fresh
//! installation, driven through the SDK at its defaults. Producers hand over one record after the other and keep as
//! many records unanswered as the shape has in flight; making batches is the SDK's work. Below the ratio stands where
//! the time went, as the receipts say. The section `partitions` compares Fidelog with itself at one partition; the
//! sections `broker`, `failover`, `moves`, `scale` and `steady` show single figures and what they should stay below.

pub mod contender;
pub mod floor;
pub mod machine;
pub mod mount;
pub mod product;
pub mod row;
pub mod rows;
pub mod sample;
pub mod scratch;
pub mod settings;
pub mod shape;
pub mod stages;
pub mod table;
