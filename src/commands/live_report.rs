//! The report of a live check on its way to its reader: made before anything is tried, and written at the end.

use std::{
    cell::RefCell,
    env,
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use aws_smithy_types::{DateTime, date_time::Format};
use ssm_aws::{Aws, ManagedNode};

use super::{print::excused, steps::Steps};
use crate::{
    cli::{Connection, ReportPlace},
    diagnostics::{Error, ExitStatus},
    endpoints::stdio::write_all,
    report::{Report, create, create_in},
};

/// Variables of the environment whose values have names in them: proxies, the user, the machine.
const NAMES: [&str; 11] = [
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
    "USER",
    "LOGNAME",
    "USERNAME",
    "HOSTNAME",
    "COMPUTERNAME",
];

/// The platforms that AWS names.
const PLATFORMS: [&str; 3] = ["Linux", "Windows", "MacOS"];

/// A report with its place.
pub(super) struct LiveReport {
    report: RefCell<Report>,
    place: Place,
}

enum Place {
    Stdout,
    File(PathBuf, File),
}

impl LiveReport {
    /// Makes the file, so that nobody waits for a report that cannot be written.
    ///
    /// # Errors
    /// A file that is there already, or cannot be made.
    pub(super) fn make(place: &ReportPlace) -> Result<Self, Error> {
        let mut report = Report::default();
        report.fact("program", env!("CARGO_PKG_VERSION"));
        report.fact("client", format!("{} {}", env::consts::OS, env::consts::ARCH));
        let date = date();
        report.fact("date", date.as_str());
        for name in NAMES {
            report.secrets().add(&env::var(name).unwrap_or_default());
        }
        let place = match place {
            ReportPlace::Stdout => Place::Stdout,
            ReportPlace::File(path) => Place::File(path.clone(), create(path).map_err(|cause| not_made(path, &cause))?),
            ReportPlace::Folder => {
                let (path, file) = create_in(Path::new(""), &date)
                    .map_err(|cause| not_made(Path::new("a report in the current folder"), &cause))?;
                Place::File(path, file)
            }
        };
        Ok(Self { report: RefCell::new(report), place })
    }

    pub(super) fn is_on_stdout(&self) -> bool {
        matches!(self.place, Place::Stdout)
    }

    pub(super) fn report(&self) -> &RefCell<Report> {
        &self.report
    }

    /// Notes what is known of both sides, and what must not be told of them.
    pub(super) fn describe(&self, aws: &Aws, connection: &Connection, id: Option<&str>, node: Option<&ManagedNode>) {
        let mut report = self.report.borrow_mut();
        let is_region = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        report.fact("region", if is_region(&aws.region) { &aws.region } else { "another" });
        report.fact("API", if aws.endpoint_override.is_some() { "at another address" } else { "AWS's own address" });
        let kind = match id.and_then(|id| id.split_once(['-', ':'])) {
            Some(("i", _)) => "EC2 instance",
            Some(("mi", _)) => "hybrid node",
            Some(("ecs", _)) => "ECS task",
            _ => "not known",
        };
        let platform = node.and_then(|node| node.platform_type.as_deref());
        let platform = platform.filter(|platform| PLATFORMS.contains(platform)).unwrap_or("platform not known");
        report.fact("node", format!("{kind}, {platform}"));
        let agent = node.and_then(|node| node.agent_version.as_deref());
        let agent = agent.filter(|version| ssm_session::version(version).is_some());
        report.fact("agent", agent.unwrap_or("not known before the sessions"));
        let names = [Some(connection.host.as_str()), id, Some(aws.profile())];
        let of_user = connection.push_key.as_ref().map(|push_key| push_key.user.as_str());
        let of_node = node.map(|node| [&node.name, &node.computer_name, &node.address]);
        let of_node = of_node.into_iter().flatten().filter_map(Option::as_deref);
        names.into_iter().flatten().chain(of_user).chain(of_node).for_each(|name| report.secrets().add(name));
    }

    /// Writes the report and says where it is.
    ///
    /// # Errors
    /// A file or a stdout that cannot be written to.
    pub(super) fn write(self, steps: &mut Steps) -> Result<(), Error> {
        let mut report = self.report.into_inner();
        report.steps(steps.taken());
        let text = report.text();
        match self.place {
            Place::Stdout => write_all(text.as_bytes()).or_else(excused),
            Place::File(path, mut file) => {
                file.write_all(text.as_bytes()).map_err(|cause| not_made(&path, &cause))?;
                let text = format!("{}: read it, then attach it to an issue", path.display());
                steps.passed("report", &text);
                Ok(())
            }
        }
    }
}

fn not_made(path: &Path, cause: &io::Error) -> Error {
    let hint = match cause.kind() {
        io::ErrorKind::AlreadyExists => "no file is overwritten: remove it, or name another with --report=FILE",
        _ => "name another file with --report=FILE, or write --report=- for stdout",
    };
    Error::new(ExitStatus::Config, format!("{} cannot be written: {cause}", path.display()), hint)
}

/// Today, in UTC.
fn date() -> String {
    let now = DateTime::from(SystemTime::now()).fmt(Format::DateTime).unwrap_or_default();
    now.get(..10).unwrap_or("undated").to_owned()
}
