//! Elastic Container Service, as far as `aws ecs execute-command` asks it: ExecuteCommand, which starts a session of Session
//! Manager, and DescribeTasks, which tells the rest of that session's target.
//!
//! Requests in, requests and answers out. The names and shapes are those of the AWS CLI's model of the API.

use crate::service::ApiError;
use serde_json::{Value, json};

/// The call that starts a session.
pub const EXECUTE: &str = "ExecuteCommand";
/// The call that tells of tasks.
pub const DESCRIBE: &str = "DescribeTasks";
/// What the ids of its sessions begin with.
pub const SESSION: &str = "ecs-execute-command-";
/// The container that every task has.
pub const CONTAINER: &str = "app";
/// Its runtime id.
const RUNTIME: &str = "0123456789abcdef-527074092";
const ARN: &str = "arn:aws:ecs:us-east-1:111122223333";

/// The request of StartSession that ExecuteCommand makes.
///
/// # Errors
/// A command that is missing, or is not to be interactive.
pub fn start(request: &Value) -> Result<Value, ApiError> {
    let (cluster, task) = place(request)?;
    let Some(command) = request.get("command").and_then(Value::as_str) else {
        return Err(invalid("command can not be empty."));
    };
    if request.get("interactive") != Some(&Value::Bool(true)) {
        return Err(invalid("Interactive is the only mode supported currently."));
    }
    Ok(json!({
        "Target": format!("ecs:{cluster}_{task}_{RUNTIME}"),
        "DocumentName": "AWS-StartInteractiveCommand",
        "Parameters": { "command": [command] },
    }))
}

/// The answer of ExecuteCommand, with what StartSession has answered.
///
/// # Errors
/// A request that [`start`] refuses.
pub fn executed(request: &Value, session: &Value) -> Result<Value, ApiError> {
    let (cluster, task) = place(request)?;
    Ok(json!({
        "clusterArn": format!("{ARN}:cluster/{cluster}"),
        "taskArn": format!("{ARN}:task/{cluster}/{task}"),
        "containerArn": format!("{ARN}:container/{cluster}/{task}/1"),
        "containerName": CONTAINER,
        "interactive": true,
        "session": {
            "sessionId": session.get("SessionId"),
            "streamUrl": session.get("StreamUrl"),
            "tokenValue": session.get("TokenValue"),
        },
    }))
}

/// The answer of DescribeTasks: every task runs.
pub fn describe(request: &Value) -> Value {
    let tasks = request.get("tasks").and_then(Value::as_array).cloned().unwrap_or_default();
    let task = |task: &Value| {
        json!({
            "taskArn": task,
            "lastStatus": "RUNNING",
            "containers": [{ "name": CONTAINER, "runtimeId": RUNTIME, "lastStatus": "RUNNING" }],
        })
    };
    json!({ "tasks": tasks.iter().map(task).collect::<Vec<_>>(), "failures": [] })
}

fn place(request: &Value) -> Result<(&str, &str), ApiError> {
    let text = |name: &str| request.get(name).and_then(Value::as_str);
    let last = |arn: &'_ str| arn.rfind('/').map_or(0, |at| at + 1);
    let cluster = text("cluster").unwrap_or("default");
    let task = text("task").ok_or_else(|| invalid("task can not be empty."))?;
    Ok((cluster.get(last(cluster)..).unwrap_or_default(), task.get(last(task)..).unwrap_or_default()))
}

fn invalid(message: &str) -> ApiError {
    ApiError::client("InvalidParameterException", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_named_by_id_or_arn() {
        let arn = format!("{ARN}:task/shop/0f1e");
        for (cluster, task) in [("shop", "0f1e"), ("arn:aws:ecs:us-east-1:1:cluster/shop", arn.as_str())] {
            let request = json!({ "cluster": cluster, "task": task, "command": "sh", "interactive": true });
            assert_eq!(start(&request).unwrap()["Target"], format!("ecs:shop_0f1e_{RUNTIME}"));
            let answer = executed(&request, &json!({ "SessionId": "s" })).unwrap();
            assert_eq!((&answer["session"]["sessionId"], &answer["taskArn"]), (&json!("s"), &json!(arn)));
        }
        for request in [json!({}), json!({ "task": "x" }), json!({ "task": "x", "command": "sh" })] {
            assert_eq!(start(&request).unwrap_err().kind, "InvalidParameterException");
        }
    }
}
