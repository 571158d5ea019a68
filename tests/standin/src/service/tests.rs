use super::*;
use crate::options::Node;

fn service(change: impl FnOnce(&mut Options)) -> Service {
    let mut options = Options::default();
    change(&mut options);
    Service::new(options, "ws://127.0.0.1:1".into())
}

fn start(service: &mut Service) -> Value {
    service.call("StartSession", &request("i-02573cafcfEXAMPLE"), 0.0).result.unwrap()
}

fn request(target: &str) -> Value {
    json!({ "Target": target, "DocumentName": "AWS-StartSSHSession", "Parameters": { "portNumber": ["22"] } })
}

fn error(service: &mut Service, operation: &str, request: Value) -> String {
    service.call(operation, &request, 0.0).result.unwrap_err().kind
}

#[test]
fn a_session_starts_with_an_awkward_url_and_is_recorded_as_it_came() {
    let mut service = service(|_| {});
    let answer = service.call("StartSession", &request("i-02573cafcfEXAMPLE"), 0.0);
    let json = answer.result.unwrap();
    let url = json["StreamUrl"].as_str().unwrap();
    let cell = url.split_once("cell-number=").unwrap().1;
    assert!(['+', '/', '='].iter().all(|c| cell.contains(*c)), "{url}");
    let Effect::Started(started) = answer.effect else { panic!("not started") };
    assert_eq!(started.target, "i-02573cafcfEXAMPLE");
    assert_eq!(started.parameters, BTreeMap::from([("portNumber".to_owned(), vec!["22".to_owned()])]));
    assert_eq!(json["SessionId"], started.id.as_str());
}

#[test]
fn targets_that_are_not_there_are_not_connected() {
    let mut service = service(|o| {
        o.not_connected = vec!["i-0ff".into()];
        o.nodes = vec![Node { ping_status: "ConnectionLost".into(), ..Node::online("i-01", "x") }];
    });
    for target in ["i-0ff", "i-01", "i-", "web-1", "i-12_3"] {
        assert_eq!(error(&mut service, "StartSession", request(target)), "TargetNotConnected");
    }
    for target in ["mi-0123abcDEF", "ecs:cluster_task_runtime"] {
        assert!(service.call("StartSession", &request(target), 0.0).result.is_ok());
    }
}

#[test]
fn bad_requests_have_awss_errors() {
    let mut service = service(|_| {});
    assert_eq!(error(&mut service, "StartSession", json!({})), "ValidationException");
    let mut bad = request("i-1");
    bad["DocumentName"] = "Nope".into();
    assert_eq!(error(&mut service, "StartSession", bad), "InvalidDocument");
    let mut bad = request("i-1");
    bad["Parameters"]["portNumber"] = json!(["70000"]);
    assert_eq!(error(&mut service, "StartSession", bad), "InvalidParameters");
    let mut bad = request("i-1");
    bad["Parameters"]["portNumber"] = json!("22");
    assert_eq!(error(&mut service, "StartSession", bad), "SerializationException");
    let mut bad = request("i-1");
    bad["Reason"] = "r".repeat(257).into();
    assert_eq!(error(&mut service, "StartSession", bad), "ValidationException");
    assert_eq!(error(&mut service, "ResumeSession", json!({ "SessionId": "x" })), "DoesNotExistException");
    assert_eq!(error(&mut service, "Nonsense", json!({})), "UnknownOperationException");
}

#[test]
fn tokens_work_once_and_a_resume_changes_token_and_url() {
    let mut service = service(|_| {});
    let first = start(&mut service);
    let (id, token) = (first["SessionId"].as_str().unwrap(), first["TokenValue"].as_str().unwrap());
    assert_eq!(service.take_token(id, "other"), Err(BreachKind::OpenToken));
    assert_eq!(service.take_token(id, token), Ok(()));
    assert_eq!(service.take_token(id, token), Err(BreachKind::OpenTokenReused));
    let second = service.call("ResumeSession", &json!({ "SessionId": id }), 0.0).result.unwrap();
    assert_ne!(second["StreamUrl"], first["StreamUrl"]);
    assert_eq!(service.take_token(id, second["TokenValue"].as_str().unwrap()), Ok(()));
    let third = service.call("ResumeSession", &json!({ "SessionId": id }), 0.0).result.unwrap();
    let _ = service.call("ResumeSession", &json!({ "SessionId": id }), 0.0);
    assert_eq!(service.take_token(id, third["TokenValue"].as_str().unwrap()), Err(BreachKind::OpenTokenReused));
}

#[test]
fn old_urls_and_unsigned_upgrades_are_refused() {
    let mut service = service(|_| {});
    let first = start(&mut service);
    let id = first["SessionId"].as_str().unwrap().to_owned();
    let query = |json: &Value| json["StreamUrl"].as_str().unwrap().split_once('?').unwrap().1.to_owned();
    let path = format!("/v1/data-channel/{id}");
    let upgrade = |service: &mut Service, query: &str| {
        let request = Request { method: "GET", path: &path, query, headers: &[], body: b"" };
        service.upgrade(&request, 0).unwrap_err().breach
    };
    assert_eq!(upgrade(&mut service, &query(&first)), Some(BreachKind::UpgradeUnsigned));
    let second = service.call("ResumeSession", &json!({ "SessionId": id }), 0.0).result.unwrap();
    assert_eq!(upgrade(&mut service, &query(&first)), Some(BreachKind::UpgradeOldUrl));
    assert_eq!(upgrade(&mut service, &query(&second)), Some(BreachKind::UpgradeUnsigned));
    service.ended(&id);
    assert_eq!(upgrade(&mut service, &query(&second)), None);
}

#[test]
fn unsigned_requests_are_taken_where_that_is_wanted() {
    let mut service = service(|o| o.accept_unsigned = true);
    let started = start(&mut service);
    let (path, query) = started["StreamUrl"].as_str().unwrap()["ws://127.0.0.1:1".len()..].split_once('?').unwrap();
    let request = Request { method: "GET", path, query, headers: &[], body: b"" };
    assert_eq!(service.upgrade(&request, 0).unwrap().1, []);
    assert_eq!(service.authorize(&request, "ssm", 0), Ok(()));
    let headers = [("authorization".to_owned(), "AWS4-HMAC-SHA256 x".to_owned())];
    let request = Request { headers: &headers, ..request };
    assert!(service.upgrade(&request, 0).is_err() && service.authorize(&request, "ssm", 0).is_err());
}

#[test]
fn ending_twice_is_harmless_and_final() {
    let mut service = service(|_| {});
    let id = start(&mut service)["SessionId"].clone();
    let request = json!({ "SessionId": id });
    assert!(matches!(service.call("TerminateSession", &request, 0.0).effect, Effect::Terminated(_)));
    let again = service.call("TerminateSession", &request, 0.0);
    assert_eq!((again.result.is_ok(), again.effect), (true, Effect::None));
    assert_eq!(error(&mut service, "ResumeSession", request), "DoesNotExistException");
}

#[test]
fn failures_happen_when_and_as_often_as_asked() {
    let mut service = service(|o| {
        o.api_rules =
            vec!["StartSession=throttling@1x2".parse().unwrap(), "ResumeSession=empty-token".parse().unwrap()];
    });
    let id = start(&mut service)["SessionId"].clone();
    for _ in 0..2 {
        assert_eq!(error(&mut service, "StartSession", request("i-1")), "ThrottlingException");
    }
    start(&mut service);
    let resumed = service.call("ResumeSession", &json!({ "SessionId": id }), 0.0).result.unwrap();
    assert_eq!(resumed["TokenValue"], "");
    service.add_rule("TerminateSession=slow:3s".parse().unwrap());
    let slow = service.call("TerminateSession", &json!({ "SessionId": id }), 0.0);
    assert_eq!(slow.delay, Duration::from_secs(3));
}

#[test]
fn a_url_that_is_signed_already_must_not_be_signed_again() {
    let mut service = service(|o| o.presigned_urls = true);
    let started = start(&mut service);
    let (path, query) = started["StreamUrl"].as_str().unwrap()["ws://127.0.0.1:1".len()..].split_once('?').unwrap();
    let mut headers = vec![];
    let request = Request { method: "GET", path, query, headers: &headers, body: b"" };
    assert!(service.upgrade(&request, 0).is_ok());
    headers.push(("authorization".to_owned(), "AWS4-HMAC-SHA256 x".to_owned()));
    let request = Request { method: "GET", path, query, headers: &headers, body: b"" };
    assert_eq!(service.upgrade(&request, 0).unwrap_err().breach, Some(BreachKind::UpgradeSignedTwice));
}
