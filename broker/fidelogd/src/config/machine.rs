//! What this machine would refuse of a configuration that is sound by itself: where its data would lie, and what it
//! would listen on. Asks, and changes nothing; only `config check` does, `format` and `serve` find out by doing it.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use fidelog_broker::env::{Disk, FilesystemKind, RealDisk};

use super::{ConfigError, Loaded, Source};

/// Everything that would be refused.
pub(super) fn mistakes(loaded: &Loaded) -> Vec<ConfigError> {
    let wrong = |key: &str, allowed: String| {
        let value = loaded.values.get(key);
        ConfigError::Value {
            source_: value.map_or(Source::Default, |value| value.source.clone()),
            key: key.to_owned(),
            value: value.map_or_else(|| "-".to_owned(), |value| value.text.clone()),
            allowed,
        }
    };
    let node = &loaded.node;
    let directory = directory(&node.data_dir).map(|allowed| wrong("broker.data_dir", allowed));
    let listen = [("broker.listen", node.listen), ("broker.peer_listen", node.peer_listen)];
    let listen = listen.into_iter().filter_map(|(key, at)| Some(wrong(key, address(at)?)));
    directory.into_iter().chain(listen).collect()
}

/// What is wrong with where the data would lie. The directory need not be there yet: the first that is decides.
fn directory(path: &Path) -> Option<String> {
    if path.exists() && !path.is_dir() {
        return Some("this is not a directory".to_owned());
    }
    let there = path.ancestors().find(|ancestor| ancestor.is_dir())?;
    match RealDisk.filesystem(there) {
        Ok(FilesystemKind::Disk) => None,
        Ok(FilesystemKind::Memory(name)) => {
            Some(format!("this lies in memory ({name}): what is synced there is lost with the power"))
        }
        Ok(FilesystemKind::Network(name)) => Some(format!(
            "this is a network file system ({name}): its syncs cannot be believed; use a local disk"
        )),
        Err(error) => Some(format!("its file system cannot be asked: {error}")),
    }
}

/// What is wrong with an address to listen on; that somebody, perhaps this very broker, does already is not.
fn address(at: SocketAddr) -> Option<String> {
    match TcpListener::bind(at) {
        Ok(_) => None,
        Err(error) if error.kind() == ErrorKind::AddrInUse => None,
        Err(error) if error.kind() == ErrorKind::AddrNotAvailable => {
            Some("this machine does not have this address".to_owned())
        }
        Err(error) => Some(format!("it cannot be listened on: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_foreign_addresses_are_told() {
        assert!(address("8.8.8.8:9094".parse().unwrap()).is_some());
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(address(taken.local_addr().unwrap()), None, "a broker that runs may be checked");
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(directory(file.path()).is_some());
        let shm = Path::new("/dev/shm");
        if matches!(RealDisk.filesystem(shm), Ok(FilesystemKind::Memory(_))) {
            assert!(directory(&shm.join("not/there/yet")).unwrap().contains("memory"));
        }
    }
}
