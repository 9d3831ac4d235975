//! The machine a table was made on, in one line: figures without it mean nothing.

use std::path::Path;

use serde::Serialize;

use crate::mount::Mount;

/// What a reader needs to know about the machine.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Hardware threads this process may use.
    pub cores: usize,
    /// The processor's name as it gives it, or "unknown".
    pub processor: String,
    /// Release of the kernel.
    pub kernel: String,
    /// File system that holds the data, and its device.
    pub filesystem: String,
}

impl Machine {
    /// Looks at this machine and at the file system below `dir`; what cannot be read is "unknown".
    pub fn of(dir: &Path) -> Self {
        let unknown = || "unknown".to_owned();
        let read = |path: &str| std::fs::read_to_string(path).ok();
        let kernel = read("/proc/sys/kernel/osrelease").map(|text| text.trim().to_owned());
        let processor = read("/proc/cpuinfo").and_then(|text| processor(&text));
        let filesystem = Mount::of(dir).map(|mount| format!("{} on {}", mount.kind, mount.device));
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            processor: processor.unwrap_or_else(unknown),
            kernel: kernel.unwrap_or_else(unknown),
            filesystem: filesystem.unwrap_or_else(|_| unknown()),
        }
    }

    /// The line printed above the table.
    pub fn line(&self) -> String {
        let Self { cores, processor, kernel, filesystem } = self;
        format!("{cores} cores ({processor}), Linux {kernel}, {filesystem}")
    }
}

fn processor(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, name)| name.trim().to_owned())
}
