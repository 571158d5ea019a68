//! `--install-plugin`: the link, and what may stand in its way.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use fixtures::{Bench, Tool};

use super::NAME;

fn path(tool: Tool, folders: &[&std::path::Path]) -> Tool {
    tool.env("PATH", std::env::join_paths(folders).expect("no colon in them"))
}

#[test]
fn the_link_is_made_where_it_is_wanted_and_made_anew() {
    let bench = Bench::open();
    let home = bench.user().home().to_owned();
    let (bin, local) = (home.join("bin"), home.join(".local/bin"));
    // Without a folder it is where a user's own programs are.
    let done = path(bench.proxy().arg("--install-plugin"), &[&local, &bin]).run().ok();
    let link = local.join(NAME);
    assert_eq!(done.text(), format!("{} -> {}\n", link.display(), bin.join("ssm-proxy").display()));
    assert_eq!(done.stderr, "");
    let version = bench.user().tool(link.to_str().expect("UTF-8")).arg("--version").run().ok().text();
    assert!(version.starts_with("1.2."), "{version}");
    let _ = path(bench.proxy().arg("--install-plugin"), &[&local]).run().ok();
    // Off the PATH nobody finds it.
    let done = path(bench.proxy().arg("--install-plugin"), &[&bin]).run().ok();
    assert!(done.stderr.contains(&format!("{} is not on the PATH", local.display())), "{done}");
    bench.finish();
}

#[test]
fn another_program_of_that_name_is_named_and_stays() {
    let bench = Bench::open();
    let home = bench.user().home().to_owned();
    let (other, bin) = (home.join("other"), home.join("bin"));
    fs::create_dir(&other).expect("a folder");
    let awss = other.join(NAME);
    fs::write(&awss, "#!/bin/sh\necho 1.2.0.0\n").expect("a program");
    fs::set_permissions(&awss, fs::Permissions::from_mode(0o755)).expect("it may run");
    let install = |folder: &std::path::Path| path(bench.proxy().arg("--install-plugin").arg(folder), &[&other, &bin]);
    let done = install(&bin).run().ok();
    assert!(done.stderr.contains(&format!("warning: {} comes before it on the PATH", awss.display())), "{done}");
    let done = install(&other).run().code(78);
    assert_eq!(
        done.stderr,
        format!(
            "ssm-proxy: --install-plugin: {} is another program\n  hint: add --force to replace it, or name another folder\n",
            awss.display()
        )
    );
    assert_eq!(fs::read_to_string(&awss).expect("it is there"), "#!/bin/sh\necho 1.2.0.0\n");
    let done = install(&other).arg("--force").run().ok();
    assert_eq!(done.stderr, "");
    assert!(fs::read_link(&awss).is_ok());
    bench.finish();
}
