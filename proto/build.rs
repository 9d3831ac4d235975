//! Generates the wire from the `.proto` files with protox: no protoc is needed.

use std::env;
use std::error::Error;
use std::fs;
use std::path::PathBuf;

use prost::Message;

const FILES: [&str; 11] = [
    "fidelog/v1/common.proto",
    "fidelog/v1/produce.proto",
    "fidelog/v1/fetch.proto",
    "fidelog/v1/topics.proto",
    "fidelog/v1/cluster.proto",
    "fidelog/v1/positions.proto",
    "fidelog/v1/operations.proto",
    "fidelog/internal/v1/replication.proto",
    "fidelog/internal/v1/meta.proto",
    "fidelog/internal/v1/session.proto",
    "fidelog/internal/v1/quorum.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    for file in FILES {
        println!("cargo::rerun-if-changed={file}");
    }
    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_imports(true).include_source_info(true).open_files(FILES)?;
    let descriptors = compiler.file_descriptor_set();

    // Reflection serves the public package only.
    let mut public = descriptors.clone();
    public.file.retain(|file| file.package() == "fidelog.v1");
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    fs::write(out_dir.join("fidelog_v1.bin"), public.encode_to_vec())?;

    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    Ok(())
}
