//! DescribeInstanceInformation: filters and pages over a list of nodes.
//!
//! JSON in, JSON out. A page is cut from the list first and filtered then, as AWS may do it: with a filter, pages are not
//! full and some are empty though more follow. Who stops at the first empty page fails here.

use crate::options::Node;
use crate::service::ApiError;
use serde_json::{Value, json};

const PAGE_SIZES: std::ops::RangeInclusive<u64> = 5..=50;
const DEFAULT_PAGE: u64 = 10;
const TOKEN_PREFIX: &str = "standin-page-";

/// Answers `request` over `nodes`, all with agents of `version`. `epoch` is the time in seconds since 1970.
///
/// # Errors
/// What AWS answers to a bad filter, page size or token.
pub fn describe(nodes: &[Node], version: &str, request: &Value, epoch: f64) -> Result<Value, ApiError> {
    let mut filters = read_filters(request, "Filters", "Key", "Values")?;
    let old_filters = read_filters(request, "InstanceInformationFilterList", "key", "valueSet")?;
    if !filters.is_empty() && !old_filters.is_empty() {
        let message = "Use either Filters or InstanceInformationFilterList";
        return Err(ApiError::client("InvalidInstanceInformationFilterValue", message));
    }
    filters.extend(old_filters);
    let size = match request.get("MaxResults") {
        None | Some(Value::Null) => DEFAULT_PAGE,
        Some(size) => size
            .as_u64()
            .filter(|size| PAGE_SIZES.contains(size))
            .ok_or_else(|| ApiError::client("ValidationException", "Value at 'maxResults' must be between 5 and 50"))?,
    };
    let from: usize = match request.get("NextToken").and_then(Value::as_str) {
        None => 0,
        Some(token) => token
            .strip_prefix(TOKEN_PREFIX)
            .and_then(|n| n.parse().ok())
            .ok_or_else(|| ApiError::client("InvalidNextToken", "The specified token is not valid."))?,
    };
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let mut page = Vec::new();
    for node in nodes.iter().skip(from).take(size) {
        let mut fits = true;
        for (key, values) in &filters {
            fits &= matches(node, version, key, values)?;
        }
        if fits {
            page.push(entry(node, version, epoch));
        }
    }
    let next = from.saturating_add(size);
    Ok(if next < nodes.len() {
        json!({ "InstanceInformationList": page, "NextToken": format!("{TOKEN_PREFIX}{next}") })
    } else {
        json!({ "InstanceInformationList": page })
    })
}

fn read_filters(request: &Value, list: &str, key: &str, values: &str) -> Result<Vec<(String, Vec<String>)>, ApiError> {
    let bad = || ApiError::client("InvalidInstanceInformationFilterValue", "The specified filter value is not valid.");
    let Some(filters) = request.get(list).and_then(Value::as_array) else { return Ok(Vec::new()) };
    filters
        .iter()
        .map(|filter| {
            let key = filter.get(key).and_then(Value::as_str).ok_or_else(bad)?;
            let values: Vec<String> = filter
                .get(values)
                .and_then(|list| serde_json::from_value(list.clone()).ok())
                .filter(|list: &Vec<String>| !list.is_empty())
                .ok_or_else(bad)?;
            Ok((key.to_owned(), values))
        })
        .collect()
}

fn matches(node: &Node, version: &str, key: &str, values: &[String]) -> Result<bool, ApiError> {
    let is = |text: &str| values.iter().any(|value| value == text);
    Ok(match key {
        "InstanceIds" => is(&node.id),
        "PingStatus" => is(&node.ping_status),
        "AgentVersion" => is(node.agent_version.as_deref().unwrap_or(version)),
        "PlatformTypes" => is(&node.platform),
        "ResourceType" => is(resource_type(node)),
        "tag-key" => node.tags.keys().any(|tag| is(tag)),
        _ => match key.strip_prefix("tag:") {
            Some(tag) => node.tags.get(tag).is_some_and(|value| is(value)),
            None => return Err(ApiError::client("InvalidFilterKey", "The specified filter key is not valid.")),
        },
    })
}

fn resource_type(node: &Node) -> &'static str {
    if node.id.starts_with("mi-") { "ManagedInstance" } else { "EC2Instance" }
}

fn entry(node: &Node, version: &str, epoch: f64) -> Value {
    let mut entry = json!({
        "InstanceId": node.id,
        "PingStatus": node.ping_status,
        "LastPingDateTime": epoch - node.last_ping.as_secs_f64(),
        "AgentVersion": node.agent_version.as_deref().unwrap_or(version),
        "IsLatestVersion": true,
        "PlatformType": node.platform,
        "PlatformName": "Amazon Linux",
        "PlatformVersion": "2023",
        "ResourceType": resource_type(node),
        "IPAddress": node.ip_address,
        "ComputerName": node.computer_name,
    });
    if let (Some(name), Some(entry)) = (&node.name, entry.as_object_mut()) {
        entry.insert("Name".to_owned(), name.as_str().into());
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes() -> Vec<Node> {
        let mut nodes: Vec<Node> = (0..12).map(|n| Node::online(&format!("i-{n:04}"), &format!("web-{n}"))).collect();
        nodes[3].ping_status = "ConnectionLost".into();
        nodes.push(Node::online("mi-0001", "office"));
        nodes
    }

    /// All that one page holds, which is the whole list here.
    fn whole(filters: Value) -> Vec<String> {
        ids(json!({ "MaxResults": 50, "Filters": filters })).0
    }

    fn ids(request: Value) -> (Vec<String>, Option<String>) {
        let answer = describe(&nodes(), "3.3.0.0", &request, 1.0).unwrap();
        let list = answer["InstanceInformationList"].as_array().unwrap();
        let ids = list.iter().map(|n| n["InstanceId"].as_str().unwrap().to_owned()).collect();
        (ids, answer["NextToken"].as_str().map(str::to_owned))
    }

    #[test]
    fn pages_follow_each_other_until_the_last() {
        let mut seen = Vec::new();
        let mut request = json!({ "MaxResults": 5 });
        loop {
            let (ids, token) = ids(request.clone());
            assert!(ids.len() <= 5);
            seen.extend(ids);
            let Some(token) = token else { break };
            request["NextToken"] = token.into();
        }
        assert_eq!(seen.len(), 13);
    }

    #[test]
    fn filters_all_have_to_fit() {
        let filter = |key: &str, value: &str| json!({ "Key": key, "Values": [value] });
        assert_eq!(whole(json!([filter("tag:Name", "web-7")])), ["i-0007"]);
        assert!(whole(json!([filter("tag:Name", "WEB-7")])).is_empty(), "case counts");
        assert_eq!(whole(json!([filter("ResourceType", "ManagedInstance")])), ["mi-0001"]);
        assert!(whole(json!([filter("tag:Name", "web-3"), filter("PingStatus", "Online")])).is_empty());
        let old = json!({ "InstanceInformationFilterList": [{ "key": "InstanceIds", "valueSet": ["i-0001"] }] });
        assert_eq!(ids(old).0, ["i-0001"]);
    }

    #[test]
    fn a_page_may_be_empty_though_more_follow() {
        let request = json!({ "MaxResults": 5, "Filters": [{ "Key": "tag:Name", "Values": ["web-7"] }] });
        let (first, token) = ids(request.clone());
        assert!(first.is_empty());
        let mut request = request;
        request["NextToken"] = token.unwrap().into();
        assert_eq!(ids(request).0, ["i-0007"]);
    }

    #[test]
    fn bad_requests_are_errors_of_awss_shape() {
        let error = |request: Value| describe(&nodes(), "1", &request, 1.0).unwrap_err().kind;
        assert_eq!(error(json!({ "Filters": [{ "Key": "Nonsense", "Values": ["x"] }] })), "InvalidFilterKey");
        assert_eq!(error(json!({ "NextToken": "x" })), "InvalidNextToken");
        assert_eq!(error(json!({ "MaxResults": 4 })), "ValidationException");
        let empty = json!({ "Filters": [{ "Key": "InstanceIds", "Values": [] }] });
        assert_eq!(error(empty), "InvalidInstanceInformationFilterValue");
        let both = json!({
            "Filters": [{ "Key": "InstanceIds", "Values": ["i-0001"] }],
            "InstanceInformationFilterList": [{ "key": "InstanceIds", "valueSet": ["i-0001"] }],
        });
        assert_eq!(error(both), "InvalidInstanceInformationFilterValue");
    }
}
