//! The floors: a floor may use any floor below it and none above (DESIGN §2).

use crate::source::{self, Source};

/// From the bottom up; the first two are `fidelog-record`, the next two `fidelog-log`, the others `fidelog-broker`.
const FLOORS: [&str; 10] =
    ["types", "record", "env", "log", "replica", "meta", "partition", "group", "rpc", "node"];

/// The floor a file belongs to, its crate's source folder, and the floors that crate holds.
fn floor_of(path: &str) -> Option<(usize, &'static str, &'static [&'static str])> {
    const CRATES: [(&str, &[&str], Option<usize>); 3] = [
        ("proto/record/src/", &["types"], Some(1)),
        ("broker/log/src/", &["env"], Some(3)),
        ("broker/src/", &["replica", "meta", "partition", "group", "rpc", "node"], None),
    ];
    let (folder, named, rest) = CRATES.iter().find(|(folder, ..)| path.starts_with(folder))?;
    let module = path[folder.len()..].split(['/', '.']).next()?;
    let floor = named.iter().find(|name| **name == module).copied();
    let index = floor.map_or(*rest, |floor| FLOORS.iter().position(|name| *name == floor))?;
    Some((index, folder, named))
}

/// The first names behind `crate::`, or behind as many `super::` as lead to the crate's root.
fn names_at_root(source: &Source, folder: &str) -> Vec<(usize, String)> {
    let depth = module_depth(&source.path[folder.len()..]);
    let supers = "super::".repeat(depth);
    let mut names = Vec::new();
    for prefix in ["crate::", supers.as_str()] {
        for (at, _) in source.shipped.match_indices(prefix) {
            let before = source.shipped[..at].bytes().next_back();
            if before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$') {
                continue;
            }
            let line = 1 + source.shipped[..at].matches('\n').count();
            let rest = &source.shipped[at + prefix.len()..];
            names.extend(first_names(rest).into_iter().map(|name| (line, name)));
        }
    }
    names
}

/// How many `super` lead from a file's module to the crate's root.
fn module_depth(path: &str) -> usize {
    let parts = path.trim_end_matches(".rs").split('/').filter(|part| !["mod", "lib", "main"].contains(part));
    parts.count().max(1)
}

/// The names a path or a group of paths begins with.
fn first_names(rest: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(group) = rest.strip_prefix('{') else { return vec![name(rest)] };
    let (mut depth, mut begins) = (1, vec![0]);
    for (index, byte) in group.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => break,
            b'}' => depth -= 1,
            b',' if depth == 1 => begins.push(index + 1),
            _ => {}
        }
    }
    begins.into_iter().map(|begin| name(&group[begin..])).filter(|name| !name.is_empty()).collect()
}

#[test]
fn no_floor_uses_one_above_it() {
    let mut breaches = Vec::new();
    for source in source::all() {
        let Some((floor, folder, named)) = floor_of(&source.path) else { continue };
        for (line, name) in names_at_root(&source, folder) {
            let used = named.iter().find(|floor| **floor == name);
            // In a crate of two floors whatever lies beside the lower one is the upper one.
            let used = used.map_or(
                if named.len() == 1 {
                    floor.max(FLOORS.iter().position(|f| *f == named[0]).unwrap_or(0) + 1)
                } else {
                    floor
                },
                |used| FLOORS.iter().position(|floor| floor == used).expect("every named floor is a floor"),
            );
            if used > floor {
                breaches.push(format!(
                    "{}:{line}: floor `{}` uses `{name}` of floor `{}`",
                    source.path, FLOORS[floor], FLOORS[used]
                ));
            }
        }
    }
    crate::report("a floor may use any floor below it and no floor above it (DESIGN §2)", &breaches);
}

#[test]
fn names_at_the_root_are_found_in_paths_and_groups() {
    assert_eq!(first_names("meta::state::Entry;"), ["meta"]);
    assert_eq!(first_names("{meta::{a, b}, rpc, node::Node};"), ["meta", "rpc", "node"]);
    assert_eq!(module_depth("rpc/peer/link.rs"), 3);
    assert_eq!(module_depth("rpc/mod.rs"), 1);
}
