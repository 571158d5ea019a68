//! The house: which room may take from which, and that no files take from each other in a circle.
//!
//! A room is a crate, or a folder or file directly below `src/`. What a file takes is read from its imports and paths,
//! each followed to the file that defines the name; tests inside a file do not count.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends where a source cannot be read")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::Visit;
use syn::{Item, UseTree};

/// What each room may take from, besides itself. `lib` is the root of the program's library and names every room.
const ARROWS: &[(&str, &[&str])] = &[
    ("ssm_channel", &[]),
    ("ssm_bond", &[]),
    ("ssm_smux", &[]),
    // A program of its own, which knows nothing of AWS.
    ("ssm_join", &["ssm_bond"]),
    ("ssm_net", &[]),
    ("ssm_gateway", &["ssm_net"]),
    ("ssm_aws", &["ssm_net"]),
    ("ssm_session", &["ssm_aws", "ssm_channel", "ssm_gateway", "ssm_net"]),
    ("state", &["ssm_net"]),
    ("caller", &[]),
    ("executable", &[]),
    ("handover", &["executable"]),
    ("diagnostics", &["ssm_aws", "ssm_gateway", "ssm_net", "ssm_session", "state"]),
    ("endpoints", &[]),
    ("terminate", &["diagnostics", "ssm_aws"]),
    // Whose session it is has to be known to say why it cannot be connected to, and to end it by the API.
    ("tunnel", &["diagnostics", "endpoints", "ssm_aws", "ssm_session", "terminate"]),
    ("forward", &["diagnostics", "endpoints", "ssm_aws", "ssm_session", "ssm_smux", "terminate"]),
    (
        "bond",
        &["diagnostics", "endpoints", "ssm_aws", "ssm_bond", "ssm_net", "ssm_session", "state", "terminate", "tunnel"],
    ),
    ("lookup", &["diagnostics", "ssm_aws", "ssm_net", "state", "target"]),
    ("target", &["diagnostics", "ssm_aws"]),
    ("public_key", &["diagnostics", "ssm_net"]),
    ("report", &["diagnostics", "ssm_session"]),
    ("cli", &["diagnostics", "public_key", "ssm_aws", "ssm_net", "target"]),
    (
        "commands",
        &[
            "bond",
            "cli",
            "diagnostics",
            "endpoints",
            "executable",
            "forward",
            "lookup",
            "public_key",
            "report",
            "ssm_aws",
            // Whoever sets a joiner up makes its secret.
            "ssm_bond",
            "ssm_session",
            // A live check has a stream of its own, without a listener.
            "ssm_smux",
            "target",
            "terminate",
            "tunnel",
        ],
    ),
    ("logging", &["cli", "diagnostics", "state"]),
];

#[test]
fn no_room_takes_from_one_above_it() {
    let house = House::read();
    let allowed: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    let mut wrong = Vec::new();
    for (from, to) in house.arrows() {
        let (from_room, to_room) = (room(&from), room(&to));
        let may = allowed.get(from_room.as_str()).copied().unwrap_or_default();
        if from_room != to_room && from_room != "lib" && from_room != "main" && !may.contains(&to_room.as_str()) {
            wrong.push(format!("{} takes from {}: {from_room} must not know {to_room}", show(&from), show(&to)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_files_take_from_each_other_in_a_circle() {
    let circles = circles(&House::read().arrows());
    assert!(circles.is_empty(), "{circles:#?}");
}

#[test]
fn no_crate_names_a_flag() {
    let mut named = Vec::new();
    for (module, file) in &House::read().files {
        let room = room(module);
        // The joiner is a program: its flags are its own.
        if room.starts_with("ssm_") && room != "ssm_join" {
            let mut strings = Strings::default();
            file.items.iter().filter(|item| !is_test(item)).for_each(|item| strings.visit_item(item));
            let flags = strings.0.into_iter().filter(|text| has_flag(text));
            named.extend(flags.map(|text| format!("{}: {text:?}", show(module))));
        }
    }
    assert!(named.is_empty(), "{named:#?}");
}

#[test]
fn a_circle_and_a_flag_are_found() {
    let arrow = |from: &str, to: &str| (vec![from.to_owned()], vec![to.to_owned()]);
    let found = circles(&[arrow("a", "b"), arrow("b", "c"), arrow("c", "a"), arrow("c", "d")].into());
    assert_eq!(found, [["a", "b", "c"].map(str::to_owned)]);
    assert!(has_flag("give --region") && has_flag("--ca-bundle") && !has_flag("a -- b") && !has_flag("-----BEGIN X"));
}

/// A module's path, its crate first: `["ssm_net", "hop"]`, `["ssm_proxy", "cli", "flags"]`.
type Module = Vec<String>;

/// Every source file of the program and its crates, by the module that it is.
struct House {
    files: BTreeMap<Module, syn::File>,
}

impl House {
    fn read() -> Self {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let mut files = BTreeMap::new();
        read_folder(&root.join("src"), &["ssm_proxy".to_owned()], &mut files);
        for folder in fs::read_dir(root.join("crates")).expect("crates/ is there").flatten() {
            let name = format!("ssm_{}", folder.file_name().to_string_lossy());
            read_folder(&folder.path().join("src"), &[name], &mut files);
        }
        assert!(files.len() > 60, "the sources are not where they are looked for: {:?}", files.keys());
        Self { files }
    }

    /// Which module takes from which.
    fn arrows(&self) -> BTreeSet<(Module, Module)> {
        let mut arrows = BTreeSet::new();
        for (module, file) in &self.files {
            let mut paths = Paths::default();
            file.items.iter().filter(|item| !is_test(item)).for_each(|item| paths.visit_item(item));
            for path in paths.0 {
                let Some(path) = self.absolute(module, &path) else { continue };
                // Of another crate the face alone is known; what is behind it is that crate's affair.
                let path = if path.first() == module.first() { path } else { path.into_iter().take(1).collect() };
                if let Some(to) = self.definition(&path, 0).filter(|to| to != module) {
                    arrows.insert((module.clone(), to));
                }
            }
        }
        arrows
    }

    /// The path from its crate on, if it is one of ours.
    fn absolute(&self, module: &Module, path: &[String]) -> Option<Module> {
        let (first, rest) = path.split_first()?;
        let base: Module = match first.as_str() {
            "crate" => module.iter().take(1).cloned().collect(),
            "self" => module.clone(),
            "super" => {
                let up = path.iter().take_while(|part| *part == "super").count();
                let base = module.iter().take(module.len().saturating_sub(up));
                return Some(base.chain(path.iter().skip(up)).cloned().collect());
            }
            name if self.files.contains_key(&vec![name.to_owned()]) => vec![name.to_owned()],
            // A child of this module, named without `self`.
            name => {
                let child: Module = module.iter().cloned().chain([name.to_owned()]).collect();
                if !self.files.contains_key(&child) {
                    return None;
                }
                child
            }
        };
        Some(base.into_iter().chain(rest.iter().cloned()).collect())
    }

    /// The module whose file defines what `path` names: re-exports are followed.
    fn definition(&self, path: &[String], depth: usize) -> Option<Module> {
        let length = (1..=path.len())
            .rev()
            .find(|length| path.get(..*length).is_some_and(|head| self.files.contains_key(head)))?;
        let (module, rest) = (path.get(..length)?.to_vec(), path.get(length..)?);
        let Some(name) = rest.first().filter(|_| depth < 8) else { return Some(module) };
        for item in &self.files.get(&module)?.items {
            let Item::Use(item) = item else { continue };
            for (target, alias) in leaves(&item.tree) {
                if alias == *name {
                    let target = self.absolute(&module, &target)?;
                    return self.definition(&target, depth + 1);
                }
            }
        }
        Some(module)
    }
}

fn read_folder(folder: &Path, module: &[String], files: &mut BTreeMap<Module, syn::File>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())).flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let child = |name: &str| module.iter().cloned().chain([name.to_owned()]).collect::<Vec<_>>();
        if path.is_dir() {
            read_folder(&path, &child(&name), files);
            continue;
        }
        let Some(stem) = name.strip_suffix(".rs").filter(|stem| !is_test_file(stem)) else { continue };
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let file = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let is_root = matches!(stem, "lib" | "mod");
        files.insert(if is_root { module.to_vec() } else { child(stem) }, file);
    }
}

/// Files that are modules of tests alone.
fn is_test_file(stem: &str) -> bool {
    matches!(stem, "tests" | "properties" | "test_support") || stem.ends_with("_tests")
}

/// The room of a module: its crate, or the folder or file below `src/`.
fn room(module: &Module) -> String {
    match module.as_slice() {
        [program] if program == "ssm_proxy" => "lib".to_owned(),
        [program, room, ..] if program == "ssm_proxy" => room.clone(),
        [first, ..] => first.clone(),
        [] => String::new(),
    }
}

fn show(module: &Module) -> String {
    module.join("::")
}

fn is_test(item: &Item) -> bool {
    let Item::Mod(item) = item else { return false };
    item.attrs.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.meta.require_list().is_ok_and(|list| {
                let condition = list.tokens.to_string();
                condition == "test" || condition.starts_with("all (test ,")
            })
    })
}

/// Every path of a use tree, with the name that it gets here.
fn leaves(tree: &UseTree) -> Vec<(Vec<String>, String)> {
    match tree {
        UseTree::Path(path) => {
            let first = path.ident.to_string();
            let below = leaves(&path.tree).into_iter();
            below.map(|(rest, alias)| ([vec![first.clone()], rest].concat(), alias)).collect()
        }
        UseTree::Name(name) if name.ident == "self" => vec![(Vec::new(), String::new())],
        UseTree::Name(name) => vec![(vec![name.ident.to_string()], name.ident.to_string())],
        UseTree::Rename(name) => vec![(vec![name.ident.to_string()], name.rename.to_string())],
        UseTree::Glob(_) => vec![(Vec::new(), String::new())],
        UseTree::Group(group) => group.items.iter().flat_map(leaves).collect(),
    }
}

/// Collects every path that is used.
#[derive(Default)]
struct Paths(Vec<Vec<String>>);

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.0.extend(leaves(&item.tree).into_iter().map(|(path, _)| path));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.0.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        syn::visit::visit_path(self, path);
    }

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {
        // `pub(super)` is no import.
    }
}

/// Collects every string literal, those in macros too.
#[derive(Default)]
struct Strings(Vec<String>);

impl<'ast> Visit<'ast> for Strings {
    fn visit_lit_str(&mut self, literal: &'ast syn::LitStr) {
        self.0.push(literal.value());
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        // A comment may name a flag.
        if !attribute.path().is_ident("doc") {
            syn::visit::visit_attribute(self, attribute);
        }
    }

    fn visit_macro(&mut self, macro_: &'ast syn::Macro) {
        for token in macro_.tokens.to_string().split('"').skip(1).step_by(2) {
            self.0.push(token.to_owned());
        }
    }
}

/// Whether a text names a flag of the command line.
fn has_flag(text: &str) -> bool {
    text.split("--").skip(1).any(|rest| rest.starts_with(|first: char| first.is_ascii_lowercase()))
        && !text.contains("-----")
}

/// The circles: each set of modules that can be reached from one another, in order of name.
fn circles(arrows: &BTreeSet<(Module, Module)>) -> Vec<Vec<String>> {
    let modules: BTreeSet<&Module> = arrows.iter().flat_map(|(from, to)| [from, to]).collect();
    let reach = |from: &Module| {
        let mut reached = BTreeSet::new();
        let mut left = vec![from.clone()];
        while let Some(module) = left.pop() {
            let next = arrows.iter().filter(|(from, _)| *from == module).map(|(_, to)| to);
            left.extend(next.filter(|to| reached.insert((*to).clone())).cloned().collect::<Vec<_>>());
        }
        reached
    };
    let reached: BTreeMap<&Module, BTreeSet<Module>> = modules.iter().map(|module| (*module, reach(module))).collect();
    let mut circles = BTreeSet::new();
    for (module, to) in &reached {
        if to.contains(*module) {
            let back = to.iter().filter(|other| reached.get(other).is_some_and(|reached| reached.contains(*module)));
            circles.insert(back.map(show).collect::<Vec<_>>());
        }
    }
    circles.into_iter().collect()
}
