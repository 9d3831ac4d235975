//! Which file systems can keep a data directory, told by the magic number `statfs` gives.
//!
//! Only those known to forget at power loss, or to answer a sync for a machine elsewhere, are named; everything
//! else, overlays included, counts as a disk.

use super::FilesystemKind;

/// Magic numbers of `linux/magic.h` and of the file systems' own sources.
const KNOWN: [(u32, FilesystemKind); 17] = [
    (0x0102_1994, FilesystemKind::Memory("tmpfs")),
    (0x8584_58f6, FilesystemKind::Memory("ramfs")),
    (0x9584_58f6, FilesystemKind::Memory("hugetlbfs")),
    (0x0000_6969, FilesystemKind::Network("nfs")),
    (0xff53_4d42, FilesystemKind::Network("cifs")),
    (0xfe53_4d42, FilesystemKind::Network("smb2")),
    (0x0000_517b, FilesystemKind::Network("smb")),
    (0x0102_1997, FilesystemKind::Network("9p")),
    // Fuse may be anything, sshfs and virtiofs included; what lies behind it cannot be asked.
    (0x6573_5546, FilesystemKind::Network("fuse")),
    (0x00c3_6400, FilesystemKind::Network("ceph")),
    (0x5346_414f, FilesystemKind::Network("afs")),
    (0x6b41_4653, FilesystemKind::Network("afs")),
    (0x7375_7245, FilesystemKind::Network("coda")),
    (0x0000_564c, FilesystemKind::Network("ncp")),
    (0x0bd0_0bd0, FilesystemKind::Network("lustre")),
    (0x786f_4256, FilesystemKind::Network("vboxsf")),
    (0x4750_4653, FilesystemKind::Network("gpfs")),
];

/// The kind of file system behind a magic number.
pub(super) fn kind_of(magic: u32) -> FilesystemKind {
    KNOWN.iter().find(|(known, _)| *known == magic).map_or(FilesystemKind::Disk, |(_, kind)| kind.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_network_are_told_from_disks() {
        assert_eq!(kind_of(0x0102_1994), FilesystemKind::Memory("tmpfs"));
        assert_eq!(kind_of(0x6969), FilesystemKind::Network("nfs"));
        for (name, magic) in [("ext4", 0xef53), ("xfs", 0x5846_5342), ("overlay", 0x794c_7630)] {
            assert_eq!(kind_of(magic), FilesystemKind::Disk, "{name}");
        }
    }
}
