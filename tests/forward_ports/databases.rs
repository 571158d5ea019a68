//! Databases of the distribution, through a forward: PostgreSQL and Redis.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use fixtures::{Bench, HOST, Running, Tool, free_port, until};

use super::{Forward, bench};

/// How long a server may take to be ready.
const READY: Duration = Duration::from_secs(60);

/// A cluster of its own, which ends with the test.
struct Postgres {
    port: u16,
    bin: PathBuf,
    _server: Running,
    _folder: tempfile::TempDir,
}

impl Postgres {
    fn start(bench: &Bench) -> Self {
        let bin = postgres_programs();
        let folder = tempfile::Builder::new().prefix("ssm-proxy-pg-").tempdir().unwrap();
        let data = folder.path().join("data");
        // It refuses to be root.
        let user = (Command::new("id").arg("-u").output().unwrap().stdout == b"0\n").then(nobody);
        if let Some((user, group)) = user {
            chown(folder.path(), Some(user), Some(group)).unwrap();
        }
        let tool = |name: &str| match user {
            Some((user, group)) => Tool::new("setpriv")
                .args([format!("--reuid={user}"), format!("--regid={group}"), "--clear-groups".to_owned()])
                .arg(bin.join(name)),
            None => Tool::new(bin.join(name)),
        };
        let _ = tool("initdb")
            .args(["-A", "trust", "-U", "postgres", "--no-sync", "--locale=C", "-D"])
            .arg(&data)
            .run()
            .ok();
        let port = free_port();
        let server = tool("postgres")
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(folder.path())
            .args(["-p", &port.to_string(), "-h", "127.0.0.1"])
            .args(["-c", "max_connections=150", "-c", "fsync=off"])
            .spawn();
        let postgres = Self { port, bin, _server: server, _folder: folder };
        let answers = || postgres.tool(bench, "pg_isready", port).run().status.success().then_some(());
        assert!(until(READY, answers).is_some(), "PostgreSQL is not ready\n{}", postgres._server);
        postgres
    }

    /// A program of PostgreSQL's clients, for the server at this port.
    fn tool(&self, bench: &Bench, name: &str, port: u16) -> Tool {
        bench.user().tool(self.bin.join(name).to_str().unwrap()).args([
            "-h",
            "127.0.0.1",
            "-U",
            "postgres",
            "-p",
            &port.to_string(),
        ])
    }

    /// What `query` gives, asked directly.
    fn ask(&self, bench: &Bench, database: &str, query: &str) -> String {
        self.tool(bench, "psql", self.port).args(["-d", database, "-Atc", query]).run().ok().text()
    }

    fn destination(&self) -> String {
        format!("db.internal:5432=127.0.0.1:{}", self.port)
    }
}

/// Where PostgreSQL's programs are, which Debian puts on nobody's PATH.
fn postgres_programs() -> PathBuf {
    let debian =
        fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path().join("bin"));
    let mut debian: Vec<_> = debian.collect();
    debian.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = debian.into_iter().rev().chain(std::env::split_paths(&path));
    folders.find(|bin| bin.join("initdb").is_file()).expect("no PostgreSQL: tests/run installs it")
}

fn nobody() -> (u32, u32) {
    let id = |option: &str| {
        let output = Command::new("id").args([option, "nobody"]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().parse().unwrap()
    };
    (id("-u"), id("-g"))
}

/// A bench from which a PostgreSQL is reached as db.internal.
fn with_postgres() -> (Bench, Postgres) {
    let folder = Bench::open();
    let postgres = Postgres::start(&folder);
    folder.finish();
    (bench(&[postgres.destination()]), postgres)
}

/// The line of docs/forwards.md with its output, letter for letter; the port alone is a free one here.
#[test]
fn the_psql_line_of_the_documents_gives_what_they_show() {
    let (bench, postgres) = with_postgres();
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/forwards.md")).unwrap();
    let mut block =
        text.lines().skip_while(|line| !line.contains("-- psql")).map(|line| line.strip_prefix("    ").unwrap_or(line));
    let line = block.next().expect("a line with psql").strip_prefix("$ ").unwrap();
    let shown: String = block.take_while(|line| !line.is_empty()).map(|line| format!("{line}\n")).collect();
    let port = free_port().to_string();
    let line = line
        .replace("-L 5432:", &format!("-L {port}:"))
        .replace("web-1", HOST)
        .replace("-- psql", &format!("-- {} -p {port}", postgres.bin.join("psql").display()));
    let done = bench.user().tool("sh").args(["-c", &line]).run().ok();
    let (listening, table) = shown.split_once('\n').unwrap();
    assert_eq!(done.stderr, format!("{}\n", listening.replace("5432", &port)));
    assert_eq!(done.text().trim_end(), table.trim_end());
    bench.finish();
}

#[test]
fn a_dump_by_four_at_once_and_a_restore() {
    let (bench, postgres) = with_postgres();
    for number in 0..4 {
        let table = format!("create table t{number} as select n, md5(n::text) as text from generate_series(1, 5000) n");
        postgres.ask(&bench, "postgres", &table);
    }
    postgres.ask(&bench, "postgres", "create database other");
    let forward = Forward::to(&bench, &["db.internal:5432"], &[]);
    let dump = bench.folder().join("dump");
    let tool = |name: &str| postgres.tool(&bench, name, forward.ports[0]);
    let _ = tool("pg_dump").args(["-Fd", "-j", "4", "-d", "postgres", "-f"]).arg(&dump).run().ok();
    let _ = tool("pg_restore").args(["-j", "4", "-d", "other"]).arg(&dump).run().ok();
    for number in 0..4 {
        let sum = format!("select count(*), md5(string_agg(text, '' order by n)) from t{number}");
        assert_eq!(postgres.ask(&bench, "other", &sum), postgres.ask(&bench, "postgres", &sum));
    }
    let _ = forward.end();
    assert_eq!(bench.finish().sessions.len(), 4, "four at once have four sessions");
}

#[test]
fn a_hundred_connections_to_a_database_at_once() {
    let (bench, postgres) = with_postgres();
    let script = bench.folder().join("script.sql");
    fs::write(&script, "select 1;\n").unwrap();
    let forward = Forward::to(&bench, &["db.internal:5432"], &[]);
    let pgbench = postgres
        .tool(&bench, "pgbench", forward.ports[0])
        .args(["-n", "-c", "100", "-t", "5", "-f"])
        .arg(&script)
        .arg("postgres");
    let done = pgbench.run().ok();
    assert!(done.text().contains("number of transactions actually processed: 500/500"), "{done}");
    let _ = forward.end();
    let report = bench.finish();
    assert!(super::total(&report, |counts| counts.peak) >= 100, "{report:#?}");
}

#[test]
fn redis_takes_a_pipeline() {
    const COMMANDS: usize = 20_000;
    let port = free_port();
    let bench = bench(&[format!("cache.internal:6379=127.0.0.1:{port}")]);
    let redis = bench
        .user()
        .tool("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
        .arg("--dir")
        .arg(bench.folder())
        .spawn();
    redis.listens(port);
    let forward = Forward::to(&bench, &["cache.internal:6379"], &[]);
    let commands: String = (0..COMMANDS).map(|number| format!("SET key:{number} {number}\r\n")).collect();
    let cli = || bench.user().tool("redis-cli").args(["-h", "127.0.0.1", "-p", &forward.ports[0].to_string()]);
    let done = cli().arg("--pipe").run_with(commands).ok();
    assert!(done.text().contains(&format!("errors: 0, replies: {COMMANDS}")), "{done}");
    assert_eq!(cli().arg("DBSIZE").run().ok().text().trim(), COMMANDS.to_string());
    let _ = forward.end();
    bench.finish();
}
