//! Names: directories as they are, as they are durably, and the changes in between.
//!
//! A change is atomic: a rename is kept or lost whole. Changes of different names reach the disk in any order; one of
//! a name brings the earlier ones of that name with it, as a journal does. A rename between two directories is
//! durable once both were synced.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path};

use rand::rngs::StdRng;

use super::content::{Content, Fate};
use crate::env::EntryKind;

/// A file or directory, whatever its name.
pub(super) type NodeId = u64;

const ROOT: NodeId = 0;

#[derive(Clone, Debug)]
enum Node {
    File(Content),
    Directory(Directory),
}

#[derive(Clone, Debug, Default)]
struct Directory {
    now: BTreeMap<String, NodeId>,
    durable: BTreeMap<String, NodeId>,
}

/// What a name stands for after a change; `None` for nothing.
#[derive(Clone, Debug)]
struct Edit {
    directory: NodeId,
    name: String,
    node: Option<NodeId>,
}

/// A change of names that is not durable yet.
#[derive(Clone, Debug)]
struct Change {
    edits: Vec<Edit>,
    unsynced: BTreeSet<NodeId>,
    /// A sync of it failed: no later one makes it durable.
    given_up: bool,
}

/// All files and directories of a simulated disk.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    nodes: BTreeMap<NodeId, Node>,
    pending: Vec<Change>,
    next: NodeId,
}

impl Tree {
    /// A root directory and nothing in it.
    pub(super) fn new() -> Self {
        let nodes = BTreeMap::from([(ROOT, Node::Directory(Directory::default()))]);
        Self { nodes, pending: Vec::new(), next: ROOT + 1 }
    }

    /// The file or directory at `path`.
    pub(super) fn find(&self, path: &Path) -> io::Result<NodeId> {
        let mut node = ROOT;
        for component in path.components() {
            if let Component::Normal(name) = component {
                let name = name.to_string_lossy();
                node = *self.directory(node)?.now.get(&*name).ok_or(io::ErrorKind::NotFound)?;
            }
        }
        Ok(node)
    }

    /// The file at `path`.
    pub(super) fn find_file(&self, path: &Path) -> io::Result<NodeId> {
        let node = self.find(path)?;
        match self.kind(node) {
            EntryKind::File => Ok(node),
            _ => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    /// The directory that holds, or would hold, `path`, and the name therein.
    fn place(&self, path: &Path) -> io::Result<(NodeId, String)> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let directory = self.find(parent)?;
        self.directory(directory)?;
        Ok((directory, name.to_string_lossy().into_owned()))
    }

    pub(super) fn create_file(&mut self, path: &Path) -> io::Result<NodeId> {
        self.create(path, Node::File(Content::default()))
    }

    pub(super) fn create_directory(&mut self, path: &Path) -> io::Result<NodeId> {
        self.create(path, Node::Directory(Directory::default()))
    }

    fn create(&mut self, path: &Path, node: Node) -> io::Result<NodeId> {
        let (directory, name) = self.place(path)?;
        if self.directory(directory)?.now.contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let id = self.next;
        self.next += 1;
        self.nodes.insert(id, node);
        self.change(vec![Edit { directory, name, node: Some(id) }]);
        Ok(id)
    }

    /// Renames; answers with the file that was replaced.
    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<Option<NodeId>> {
        let node = self.find(from)?;
        let (from, to) = (self.place(from)?, self.place(to)?);
        let replaced = self.directory(to.0)?.now.get(&to.1).copied().filter(|replaced| *replaced != node);
        if let Some(replaced) = replaced
            && (self.kind(replaced), self.kind(node)) != (EntryKind::File, EntryKind::File)
        {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if from != to {
            let gone = Edit { directory: from.0, name: from.1, node: None };
            let here = Edit { directory: to.0, name: to.1, node: Some(node) };
            self.change(vec![gone, here]);
        }
        Ok(replaced)
    }

    /// Has two files change names.
    pub(super) fn exchange(&mut self, one: &Path, other: &Path) -> io::Result<()> {
        let (first, second) = (self.find_file(one)?, self.find_file(other)?);
        let (one, other) = (self.place(one)?, self.place(other)?);
        self.change(vec![
            Edit { directory: one.0, name: one.1, node: Some(second) },
            Edit { directory: other.0, name: other.1, node: Some(first) },
        ]);
        Ok(())
    }

    /// Removes the name of a file.
    pub(super) fn remove_file(&mut self, path: &Path) -> io::Result<NodeId> {
        let node = self.find_file(path)?;
        self.unlink(path)?;
        Ok(node)
    }

    /// Removes a directory and all below it, from the bottom up; answers with the files removed.
    pub(super) fn remove_directory(&mut self, path: &Path) -> io::Result<Vec<NodeId>> {
        let node = self.find(path)?;
        let names: Vec<_> = self.directory(node)?.now.keys().cloned().collect();
        let mut removed = Vec::new();
        for name in names {
            let child = path.join(name);
            match self.kind(self.find(&child)?) {
                EntryKind::Directory => removed.extend(self.remove_directory(&child)?),
                _ => removed.push(self.remove_file(&child)?),
            }
        }
        self.unlink(path)?;
        Ok(removed)
    }

    fn unlink(&mut self, path: &Path) -> io::Result<()> {
        let (directory, name) = self.place(path)?;
        self.change(vec![Edit { directory, name, node: None }]);
        Ok(())
    }

    /// The entries of a directory, sorted by name.
    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<(String, EntryKind)>> {
        let directory = self.directory(self.find(path)?)?;
        Ok(directory.now.iter().map(|(name, node)| (name.clone(), self.kind(*node))).collect())
    }

    /// Makes the changes of a directory durable.
    pub(super) fn sync(&mut self, path: &Path) -> io::Result<()> {
        let directory = self.find(path)?;
        self.directory(directory)?;
        for change in self.pending.iter_mut().filter(|change| !change.given_up) {
            change.unsynced.remove(&directory);
        }
        self.settle(|change| change.unsynced.is_empty());
        Ok(())
    }

    /// The kernel gave up on the changes of a directory, and calls it clean.
    pub(super) fn fail_sync(&mut self, path: &Path) {
        if let Ok(directory) = self.find(path) {
            for change in self.pending.iter_mut().filter(|change| change.unsynced.contains(&directory)) {
                change.given_up = true;
            }
        }
    }

    /// What is left after a power cut.
    pub(super) fn crash(&mut self, random: &mut StdRng) {
        let fate = Fate::draw(random);
        self.settle(|change| !change.given_up && fate.keeps(random));
        self.pending.clear();
        let mut kept = BTreeMap::new();
        let mut open = vec![ROOT];
        while let Some(id) = open.pop() {
            // A name that two lost changes left to one file is found twice.
            let Some(mut node) = self.nodes.remove(&id) else { continue };
            match &mut node {
                Node::File(content) => content.crash(random),
                Node::Directory(directory) => {
                    directory.now.clone_from(&directory.durable);
                    open.extend(directory.now.values());
                }
            }
            kept.insert(id, node);
        }
        self.nodes = kept;
    }

    /// The content of a file that was found.
    pub(super) fn content(&mut self, node: NodeId) -> &mut Content {
        match self.nodes.get_mut(&node) {
            Some(Node::File(content)) => content,
            _ => unreachable!("handles of files are given out for files only and end with a crash"),
        }
    }

    /// Bytes of room all files take together.
    pub(super) fn room_bytes(&self) -> u64 {
        let room = |node: &Node| if let Node::File(content) = node { content.room_bytes() } else { 0 };
        self.nodes.values().map(room).sum()
    }

    pub(super) fn kind(&self, node: NodeId) -> EntryKind {
        match self.nodes.get(&node) {
            Some(Node::File(_)) => EntryKind::File,
            Some(Node::Directory(_)) => EntryKind::Directory,
            None => EntryKind::Other,
        }
    }

    fn directory(&self, node: NodeId) -> io::Result<&Directory> {
        match self.nodes.get(&node) {
            Some(Node::Directory(directory)) => Ok(directory),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    /// Makes a change that is not durable yet.
    fn change(&mut self, edits: Vec<Edit>) {
        for edit in &edits {
            apply(&mut self.nodes, edit, |directory| &mut directory.now);
        }
        let unsynced = edits.iter().map(|edit| edit.directory).collect();
        self.pending.push(Change { edits, unsynced, given_up: false });
    }

    /// Makes the chosen changes durable, and with each one the earlier changes of its names.
    fn settle(&mut self, mut chosen: impl FnMut(&Change) -> bool) {
        let mut names = BTreeSet::new();
        let mut settled = Vec::new();
        // From the last to the first, so that every name a chosen change brings along is known when it comes up.
        for index in (0..self.pending.len()).rev() {
            let change = &self.pending[index];
            let named = |edit: &Edit| names.contains(&(edit.directory, edit.name.clone()));
            if chosen(change) || change.edits.iter().any(named) {
                names.extend(change.edits.iter().map(|edit| (edit.directory, edit.name.clone())));
                settled.push(self.pending.remove(index));
            }
        }
        for edit in settled.iter().rev().flat_map(|change| &change.edits) {
            apply(&mut self.nodes, edit, |directory| &mut directory.durable);
        }
    }
}

type Names = BTreeMap<String, NodeId>;

fn apply(nodes: &mut BTreeMap<NodeId, Node>, edit: &Edit, side: fn(&mut Directory) -> &mut Names) {
    if let Some(Node::Directory(directory)) = nodes.get_mut(&edit.directory) {
        match edit.node {
            Some(node) => side(directory).insert(edit.name.clone(), node),
            None => side(directory).remove(&edit.name),
        };
    }
}
