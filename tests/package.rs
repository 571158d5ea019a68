//! The packages that contrib/package makes, as tests/run has made them: the .deb is installed on this machine, used and
//! removed. That takes root, and dpkg, so tests/run runs these where they are and says so where not.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends where its files cannot be read")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use fixtures::{Bench, Done, HOST, Setup, Tool};

/// What every package has, wherever it puts it.
const CONTENTS: [&str; 15] = [
    "ssm-proxy",
    "ssm-proxy.1",
    "ssm-proxy.bash",
    "_ssm-proxy",
    "ssm-proxy.fish",
    "THIRD-PARTY",
    "README.md",
    "options.md",
    "troubleshooting.md",
    "ssh_config.example",
    "iam-policy.json",
    "recipes.md",
    "ssm-proxy-join-x86_64",
    "ssm-proxy-join-aarch64",
    "SHA256SUMS",
];

/// The package of the link alone.
const LINK: &str = "ssm-proxy-session-manager-plugin";

/// The packages of the joiner begin so.
const JOINER: &str = "ssm-proxy-join";

/// The package of the program whose name ends so; there is one.
fn package(end: &str) -> PathBuf {
    named(end, |name| !name.starts_with(LINK) && !name.starts_with(JOINER))
}

/// The package of the link whose name ends so.
fn link_package(end: &str) -> PathBuf {
    named(end, |name| name.starts_with(LINK))
}

fn named(end: &str, is_it: impl Fn(&str) -> bool) -> PathBuf {
    let folder = std::env::var_os("PACKAGES").expect("tests/run sets PACKAGES to where it has made them");
    let files = fs::read_dir(folder).expect("contrib/package has made the folder");
    let mut found: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    found.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(end) && is_it(&name)
    });
    let [only] = found.as_slice() else { panic!("not one package that ends in {end}: {found:?}") };
    only.clone()
}

fn tool(program: &str) -> Tool {
    let path = std::env::var_os("PATH").expect("a PATH");
    Tool::new(program).env("PATH", path).env("LC_ALL", "C").env("DEBIAN_FRONTEND", "noninteractive")
}

fn dpkg(action: &str, what: impl AsRef<Path>) -> Done {
    tool("dpkg").arg(action).arg(what.as_ref()).run()
}

/// Fails unless each thing is in a list of paths, under its own name or packed by gzip.
#[track_caller]
fn has_contents(list: &str, bash_completion: &str) {
    let names: BTreeSet<&str> =
        list.lines().filter_map(|path| path.trim_end_matches(".gz").rsplit('/').next()).collect();
    for name in CONTENTS {
        let is_there = names.contains(name) || name == "ssm-proxy.bash" && list.contains(bash_completion);
        assert!(is_there, "{name} is not in the package: {list}");
    }
}

/// An empty package with the name of AWS's.
fn package_of_awss_name(folder: &Path) -> PathBuf {
    let (root, file) = (folder.join("root"), folder.join("awss.deb"));
    let control = "Package: session-manager-plugin\nVersion: 1.2.764.0-1\nArchitecture: all\nMaintainer: Nobody \
                   <nobody@example.com>\nDescription: nothing\n";
    fs::create_dir_all(root.join("DEBIAN"))
        .and_then(|()| fs::write(root.join("DEBIAN/control"), control))
        .expect("a file");
    drop(tool("dpkg-deb").arg("--build").args([&root, &file]).run().ok());
    file
}

/// Removes the package even if the test fails.
struct Installed;

impl Drop for Installed {
    fn drop(&mut self) {
        drop(tool("dpkg").args(["--purge", "session-manager-plugin", LINK, "ssm-proxy"]).run());
    }
}

#[test]
#[ignore = "installs a package: tests/run package, as root"]
fn the_deb_is_installed_used_and_removed() {
    for name in ["ssm-proxy", "session-manager-plugin"] {
        let before = tool("dpkg-query").args(["--show", name]).run();
        assert!(!before.status.success(), "{name} is installed here, and this test would remove it: {before}");
    }
    let done = dpkg("--install", package(".deb")).ok();
    let installed = Installed;
    let list = dpkg("--listfiles", "ssm-proxy").ok().text();
    has_contents(&list, "/usr/share/bash-completion/completions/ssm-proxy\n");
    let copyright = fs::read_to_string("/usr/share/doc/ssm-proxy/copyright").unwrap_or_default();
    assert!(copyright.contains("Files: *") && copyright.contains("THIRD-PARTY"), "{done}{copyright}");

    let version = tool("/usr/bin/ssm-proxy").arg("--version").run().ok().text();
    assert_eq!(version, concat!("ssm-proxy ", env!("CARGO_PKG_VERSION"), "\n"));
    let page = tool("man").args(["-w", "ssm-proxy"]).run().ok().text();
    assert_eq!(page, "/usr/share/man/man1/ssm-proxy.1.gz\n");
    let example = "/usr/share/doc/ssm-proxy/examples/ssh_config.example";
    let options = tool("ssh").args(["-F", example, "-G", HOST]).run().ok().text();
    assert!(options.contains("proxycommand ssm-proxy -- \"%h\" %p\n"), "{options}");

    let bench = Bench::with(Setup { proxy_command: "/usr/bin/ssm-proxy -- \"%h\" %p", ..Setup::default() });
    assert_eq!(bench.ssh().args([HOST, "echo in"]).run().ok().text(), "in\n");
    bench.finish();

    drop(dpkg("--install", link_package(".deb")).ok());
    let version = tool("/usr/bin/session-manager-plugin").arg("--version").run().ok().text();
    assert!(version.starts_with("1.2."), "{version}");
    // In the place of AWS's, and not beside it.
    let folder = tempfile::tempdir().expect("a folder");
    let awss = package_of_awss_name(folder.path());
    let refused = dpkg("--install", &awss);
    assert!(!refused.status.success() && refused.stderr.contains("session-manager-plugin conflicts with"), "{refused}");
    drop(dpkg("--purge", LINK).ok());
    assert!(fs::symlink_metadata("/usr/bin/session-manager-plugin").is_err(), "the link is left behind");
    drop(dpkg("--install", &awss).ok());
    let refused = dpkg("--install", link_package(".deb"));
    assert!(!refused.status.success() && refused.stderr.contains("conflicts with session-manager-plugin"), "{refused}");
    drop(dpkg("--purge", "session-manager-plugin").ok());

    drop(dpkg("--purge", "ssm-proxy").ok());
    std::mem::forget(installed);
    let left: Vec<_> = list.lines().filter(|path| path.contains("ssm-proxy") && Path::new(path).exists()).collect();
    assert_eq!(left, Vec::<&str>::new(), "left behind");
}

#[test]
#[ignore = "looks into packages: tests/run package, as root"]
fn the_rpm_has_the_same_contents_and_needs_no_more_than_a_libc() {
    let query_of =
        |package: PathBuf, what: &str| tool("rpm").args(["--query", what, "--package"]).arg(package).run().ok().text();
    let query = |what: &str| query_of(package(".rpm"), what);
    assert!(query_of(link_package(".rpm"), "--list").contains("/usr/bin/session-manager-plugin\n"));
    assert_eq!(query_of(link_package(".rpm"), "--conflicts"), "session-manager-plugin\n");
    has_contents(&query("--list"), "/usr/share/bash-completion/completions/ssm-proxy\n");
    let requires = query("--requires");
    let others: Vec<_> = requires
        .lines()
        .filter(|line| {
            !["libc.so.6(", "libm.so.6(", "libgcc_s.so.1(", "ld-linux", "rpmlib("]
                .iter()
                .any(|own| line.starts_with(own))
        })
        .filter(|line| *line != "rtld(GNU_HASH)")
        .collect();
    assert_eq!(others, Vec::<&str>::new(), "{requires}");
}

#[test]
#[ignore = "installs a package: tests/run package, as root"]
fn the_joiners_package_has_a_static_program_and_units_that_systemd_takes() {
    let before = tool("dpkg-query").args(["--show", JOINER]).run();
    assert!(!before.status.success(), "{JOINER} is installed here, and this test would remove it: {before}");
    let (deb, rpm) = if cfg!(target_arch = "x86_64") { ("amd64", "x86_64") } else { ("arm64", "aarch64") };
    let ours = |end: &str| named(end, |name| name.starts_with(JOINER));
    drop(dpkg("--install", ours(&format!("_{deb}.deb"))).ok());
    let version = tool("/usr/bin/ssm-proxy-join").arg("--version").run().ok().text();
    assert_eq!(version, concat!("ssm-proxy-join ", env!("CARGO_PKG_VERSION"), "\n"));
    if Path::new("/usr/bin/systemd-analyze").exists() {
        let done = tool("systemd-analyze").args(["verify", "ssm-proxy-join.socket", "ssm-proxy-join.service"]).run();
        assert!(!done.stderr.contains("ssm-proxy-join"), "{done}");
    }
    let list = dpkg("--listfiles", JOINER).ok().text();
    drop(dpkg("--purge", JOINER).ok());
    let left: Vec<_> = list.lines().filter(|path| path.contains(JOINER) && Path::new(path).exists()).collect();
    assert_eq!(left, Vec::<&str>::new(), "left behind");

    let files =
        tool("rpm").args(["--query", "--list", "--package"]).arg(ours(&format!(".{rpm}.rpm"))).run().ok().text();
    for file in
        ["bin/ssm-proxy-join", "lib/systemd/system/ssm-proxy-join.socket", "lib/systemd/system/ssm-proxy-join.service"]
    {
        assert!(
            files.contains(&format!("/usr/{file}\n")) && list.contains(&format!("/usr/{file}\n")),
            "{file}: {files}"
        );
    }
}

#[test]
#[ignore = "looks into packages: tests/run package, as root"]
fn the_archive_runs_where_it_is_unpacked() {
    let archive = package(".tar.gz");
    let list = tool("tar").arg("-tzf").arg(&archive).run().ok().text();
    has_contents(&list, "/completions/ssm-proxy.bash\n");
    let folder = tempfile::tempdir().expect("a folder");
    let unpack = tool("tar").arg("-xzf").arg(&archive).arg("-C").arg(folder.path());
    drop(unpack.run().ok());
    let inside = list.split('/').next().expect("a folder");
    let program = folder.path().join(inside).join("ssm-proxy");
    drop(tool(&program.to_string_lossy()).arg("--version").run().ok());
    let checksum = fs::read_to_string(format!("{}.sha256", archive.display())).expect("its checksum beside it");
    let sum = tool("sha256sum").arg(&archive).run().ok().text();
    assert_eq!(checksum.split(' ').next(), sum.split(' ').next());
}
