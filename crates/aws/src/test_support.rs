//! What the tests of these rooms share: a folder that goes away, and an AWS whose answers are made up.

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

use super::{Aws, Overrides};

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
    requests: Arc<Mutex<Vec<String>>>,
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
        self.requests.lock().unwrap().clone()
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
        let operation = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = operation.rsplit('.').next().unwrap_or_default();
        let body = String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned();
        self.requests.lock().unwrap().push(format!("{operation} {body}"));
        if !self.answers_at_all {
            return HttpConnectorFuture::new(std::future::pending());
        }
        let (status, body) = self.answers.lock().unwrap().pop().expect("no answer is left");
        let response = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body));
        HttpConnectorFuture::ready(Ok(response))
    }
}
