//! Test support: a temporary folder, a service with prepared answers, and a node.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_smithy_runtime_api::client::{
    http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
    orchestrator::{HttpRequest, HttpResponse},
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::body::SdkBody;
use aws_types::os_shim_internal::Env;

use super::{Aws, ManagedNode, Overrides, Ping};

/// A folder of its own for one test.
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("ssm-proxy-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self { path }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Profile files with this text in them, as long as the folder is there.
    pub(crate) fn profile_files(&self, config: &str, credentials: &str) -> EnvConfigFiles {
        EnvConfigFiles::builder()
            .with_file(EnvConfigFileKind::Config, self.write("config", config))
            .with_file(EnvConfigFileKind::Credentials, self.write("credentials", credentials))
            .build()
    }
}

/// An AWS with these profile files, as long as the folder is there.
pub(super) async fn aws_in(folder: &Folder, overrides: &Overrides, env: &[(&str, &str)], config: &str) -> Aws {
    let env: Vec<_> = [("AWS_EC2_METADATA_DISABLED", "true"), ("AWS_REGION", "eu-west-1")]
        .into_iter()
        .chain(env.iter().copied())
        .collect();
    Aws::load_from(overrides, Env::from_slice(&env), folder.profile_files(config, "")).await.unwrap()
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(Path::new(&self.path)).ok();
    }
}

/// A service that gives prepared answers, one after another, and remembers what it was asked.
#[derive(Clone, Debug)]
pub(super) struct Service {
    answers: Arc<Mutex<Vec<(u16, String)>>>,
    answers_at_all: bool,
    requests: Arc<Mutex<Vec<Request>>>,
}

/// A request as it was sent.
#[derive(Debug)]
struct Request {
    url: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Service {
    pub(super) fn answering<'a>(answers: impl IntoIterator<Item = (u16, &'a str)>) -> Self {
        let mut answers: Vec<_> = answers.into_iter().map(|(status, body)| (status, body.to_owned())).collect();
        answers.reverse();
        Self { answers: Arc::new(Mutex::new(answers)), answers_at_all: true, requests: Arc::default() }
    }

    /// One that takes requests and never answers.
    pub(super) fn silent() -> Self {
        Self { answers_at_all: false, ..Self::answering([]) }
    }

    /// Each request as its operation and its body.
    pub(super) fn requests(&self) -> Vec<String> {
        let operation = |target: String| target.rsplit('.').next().unwrap_or_default().to_owned();
        let bodies = self.each(|request| request.body.clone());
        let operations = self.header("x-amz-target").into_iter().map(operation);
        operations.zip(bodies).map(|(operation, body)| format!("{operation} {body}")).collect()
    }

    /// The header of this name in each request; empty where there is none.
    pub(super) fn header(&self, name: &str) -> Vec<String> {
        self.each(|Request { headers, .. }| {
            headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()).unwrap_or_default()
        })
    }

    /// The URL of each request.
    pub(super) fn urls(&self) -> Vec<String> {
        self.each(|request| request.url.clone())
    }

    fn each<T>(&self, part: impl Fn(&Request) -> T) -> Vec<T> {
        self.requests.lock().unwrap().iter().map(part).collect()
    }

    /// An AWS with this profile file; without one, with keys in its environment.
    pub(super) async fn aws(&self, config: &str) -> Aws {
        let keys = [("AWS_ACCESS_KEY_ID", "AKID"), ("AWS_SECRET_ACCESS_KEY", "secret")];
        let env = if config.is_empty() { &keys[..] } else { &[] };
        aws_in(&Folder::new(), &Overrides::default(), env, config).await
    }
}

impl HttpClient for Service {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Service {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        self.requests.lock().unwrap().push(Request {
            url: request.uri().to_owned(),
            headers: request.headers().iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            body: String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned(),
        });
        if !self.answers_at_all {
            return HttpConnectorFuture::new(std::future::pending());
        }
        let (status, body) = self.answers.lock().unwrap().pop().expect("no answer is left");
        let response = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body));
        HttpConnectorFuture::ready(Ok(response))
    }
}

/// A node with a computer name and an address.
pub(crate) fn node(id: &str, ping: Ping) -> ManagedNode {
    ManagedNode {
        id: id.to_owned(),
        name: None,
        computer_name: Some("Web-1.Example.com".to_owned()),
        address: Some("10.0.1.17".to_owned()),
        platform_type: None,
        platform_name: None,
        platform_version: None,
        agent_version: None,
        resource_type: None,
        ping,
        last_ping: None,
    }
}
