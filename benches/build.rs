//! Generates the floors' wire code from `proto/floor.proto`, without a `protoc` on the machine.

fn main() -> anyhow::Result<()> {
    println!("cargo::rerun-if-changed=proto/floor.proto");
    let files = protox::compile(["proto/floor.proto"], ["proto"])?;
    // `Bytes` fields: a payload that was received is passed on, written and pushed without a copy.
    tonic_prost_build::configure().bytes(".").compile_fds(files)?;
    Ok(())
}
