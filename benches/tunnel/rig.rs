//! What a measurement stands on: the stand-in, the path before it, and the command of the client under test.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use std::{fs, io};

use fixtures::HOST;
use fixtures::standin::{Options, Server};
use tempfile::TempDir;

use crate::client::Client;
use crate::path::{Path, Tap};

/// The target's port in every measurement.
pub(crate) const PORT: u16 = 22;

/// The client under test, as a user would write it into `ssh_config`.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    /// The ProxyCommand.
    pub(crate) paced: String,
    /// The same without the service's pace.
    pub(crate) unpaced: String,
    /// Where `ssm-proxy` is.
    pub(crate) program: PathBuf,
    /// Whether it is ssm-proxy, and not some other client.
    pub(crate) is_ours: bool,
    /// The folder of the programs that results are compared with.
    pub(crate) tools: PathBuf,
    /// The program that bonds are compared with.
    pub(crate) aggligator: Option<PathBuf>,
}

/// What a measurement asks for.
#[derive(Default)]
pub(crate) struct Scene {
    /// The stand-in, without ports.
    pub(crate) standin: Options,
    /// The round trip to API and gateway. Without one there is no path in between, unless there is a tap.
    pub(crate) round_trip: Option<Duration>,
    /// Sees what passes.
    pub(crate) tap: Option<Tap>,
    /// Whether everything goes over TLS.
    pub(crate) tls: bool,
}

/// A stand-in, perhaps far away.
pub(crate) struct Rig {
    pub(crate) server: Server,
    pub(crate) path: Option<Path>,
    pub(crate) variables: Vec<(String, String)>,
    _folder: TempDir,
}

impl Rig {
    /// Port [`PORT`] of the target leads to `far`.
    pub(crate) fn new(scene: Scene, far: std::net::SocketAddr) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("ssm-proxy-bench-").tempdir()?;
        let mut path = match (scene.round_trip, scene.tap) {
            (None, None) => None,
            (round_trip, tap) => Some(Path::new(round_trip.unwrap_or_default(), tap)?),
        };
        let mut options = scene.standin;
        options.ports.push((PORT, far));
        options.tls = scene.tls;
        options.stream_host = path.as_ref().map(|path| path.address().to_string());
        let server = Server::start(options)?;
        let near = path.as_ref().map_or(server.address(), Path::address);
        if let Some(path) = &mut path {
            path.lead_to(server.address());
        }
        let scheme = if scene.tls { "https" } else { "http" };
        let mut variables = vec![
            ("AWS_ENDPOINT_URL_SSM".to_owned(), format!("{scheme}://{near}")),
            // As with AWS's own endpoints, the stream's host is known before the session is.
            ("AWS_ENDPOINT_URL_SSMMESSAGES".to_owned(), format!("{scheme}://{near}")),
            ("AWS_REGION".to_owned(), server.region().to_owned()),
            ("AWS_ACCESS_KEY_ID".to_owned(), server.credentials().access_key_id.clone()),
            ("AWS_SECRET_ACCESS_KEY".to_owned(), server.credentials().secret_access_key.clone()),
            ("AWS_EC2_METADATA_DISABLED".to_owned(), "true".to_owned()),
        ];
        if let Some(authority) = server.ca_pem_path() {
            let bundle = folder.path().join("bundle.pem");
            fs::write(&bundle, [system_bundle(), fs::read(authority)?].concat())?;
            variables.push(("AWS_CA_BUNDLE".to_owned(), bundle.display().to_string()));
        }
        Ok(Self { server, path, variables, _folder: folder })
    }

    /// A command line, run as OpenSSH runs a ProxyCommand.
    pub(crate) fn command(&self, subject: &Subject, line: &str) -> Command {
        let line = line.replace("%h", HOST).replace("%p", &PORT.to_string());
        let mut command = Command::new("/bin/sh");
        let mut folders = vec![subject.tools.clone()];
        folders.extend(subject.program.parent().map(PathBuf::from));
        folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        command.arg("-c").arg(format!("exec {line}"));
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_the_users(&name.to_string_lossy())) {
            command.env_remove(name);
        }
        command.env("PATH", std::env::join_paths(folders).unwrap_or_default());
        command.envs(self.variables.iter().cloned());
        command
    }

    /// Starts the client under test, at the service's pace.
    pub(crate) fn start(&self, subject: &Subject) -> io::Result<Client> {
        Client::start(self.command(subject, &subject.paced))
    }

    /// Starts it without pace.
    pub(crate) fn start_unpaced(&self, subject: &Subject) -> io::Result<Client> {
        Client::start(self.command(subject, &subject.unpaced))
    }

    /// The path, of a scene that asked for one.
    pub(crate) fn path(&self) -> &Path {
        self.path.as_ref().expect("this scene has a path")
    }

    /// What the stand-in has to say against the client, in words for a note; empty if nothing.
    pub(crate) fn complaints(&self) -> String {
        let report = self.server.report();
        match report.breaches.first() {
            None => String::new(),
            Some(first) => {
                format!("{} breaches of protocol, first {:?}: {}", report.breach_count, first.kind, first.detail)
            }
        }
    }
}

/// Whether a variable says which account, or which way to the network, the user has: neither is the stand-in's.
fn is_the_users(name: &str) -> bool {
    name.starts_with("AWS_") || name.to_ascii_lowercase().ends_with("_proxy")
}

/// The authorities that this machine trusts: to read them is part of a real start.
fn system_bundle() -> Vec<u8> {
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"]
        .iter()
        .find_map(|file| fs::read(file).ok())
        .unwrap_or_default()
}
