//! The inventory: the managed nodes that Systems Manager knows, by DescribeInstanceInformation, page by page.
//!
//! The answers have no tags; a filter alone can ask for nodes with a tag. This module must not know why a node is
//! looked for, nor which of several is meant.

use std::{
    collections::HashSet,
    time::{Duration, SystemTime},
};

use aws_sdk_ssm::{
    Client,
    error::BuildError,
    types::{InstanceInformation, InstanceInformationStringFilter, PingStatus},
};
use aws_smithy_types::{DateTime, date_time::Format};
use serde::{Serialize, Serializer};
use tokio::time::{Instant, timeout_at};

use super::{
    backoff::Backoff,
    call::Call,
    config::Aws,
    error::{ApiError, ApiFailure},
    explain::failed,
    kind::ErrorKind,
    repeat::{Attempts, BACKOFF, repeat},
    tag::Tag,
};

/// How often a page is asked for while the service throttles or fails. The call reads alone: to repeat it does no harm.
const ATTEMPTS: u32 = 4;
/// The size of a page, in nodes: the service's maximum.
const PAGE: i32 = 50;
/// The most pages that are followed, so that each list has an end: 5,000 nodes.
const MAX_PAGES: usize = 100;
/// The time limit for all pages of a list, repeated calls included. A page takes some 100 ms, so [`MAX_PAGES`] take 10
/// s.
const LIST_TIMEOUT: Duration = Duration::from_secs(60);

/// Which nodes to ask for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Filter<'a> {
    /// All nodes.
    All,
    /// The node with this id.
    Id(&'a str),
    /// The nodes that have all of these tags. The service compares keys and values exactly.
    Tags(&'a [Tag]),
}

/// A managed node. It is serialized under AWS's own names, with times as RFC 3339 has them, in UTC.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ManagedNode {
    /// `InstanceId`.
    #[serde(rename = "InstanceId")]
    pub id: String,
    /// `Name`, which hybrid nodes get by their activation. The Name tag of an EC2 instance is not here.
    pub name: Option<String>,
    /// `ComputerName`: the machine's own name, as a rule its whole host name.
    pub computer_name: Option<String>,
    /// `IPAddress`, IPv4 or IPv6.
    #[serde(rename = "IPAddress")]
    pub address: Option<String>,
    /// `PlatformType`: Linux, Windows or MacOS.
    pub platform_type: Option<String>,
    /// `PlatformName`.
    pub platform_name: Option<String>,
    /// `PlatformVersion`.
    pub platform_version: Option<String>,
    /// `AgentVersion`.
    pub agent_version: Option<String>,
    /// `ResourceType`: EC2Instance or ManagedInstance.
    pub resource_type: Option<String>,
    /// `PingStatus`.
    #[serde(rename = "PingStatus")]
    pub ping: Ping,
    /// `LastPingDateTime`.
    #[serde(rename = "LastPingDateTime", serialize_with = "serialize_time")]
    pub last_ping: Option<SystemTime>,
}

/// The state of the agent's connection to Systems Manager.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Ping {
    /// The agent answers.
    Online,
    /// The agent has been silent for some minutes.
    ConnectionLost,
    /// The agent has been silent for long. AWS calls this status deprecated.
    Inactive,
    /// A status that is not known here.
    Other(String),
}

impl Ping {
    /// AWS's word for the state.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Online => "Online",
            Self::ConnectionLost => "ConnectionLost",
            Self::Inactive => "Inactive",
            Self::Other(status) => status,
        }
    }
}

impl Serialize for Ping {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A time that no text can have is left out, as one that is not known.
fn serialize_time<S: Serializer>(time: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
    time.and_then(|time| DateTime::from(time).fmt(Format::DateTime).ok()).serialize(serializer)
}

/// The nodes that were asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct List {
    /// The nodes on the pages that were followed.
    pub nodes: Vec<ManagedNode>,
    /// Whether there are no more.
    pub is_whole: bool,
}

/// Some of the nodes. A page may be empty though more follow.
struct Page {
    nodes: Vec<ManagedNode>,
    /// The token to ask for the next page with; `None` on the last page.
    next: Option<String>,
}

/// The list of one account's nodes in one region.
#[derive(Clone, Debug)]
pub struct Inventory {
    aws: Aws,
    client: Client,
    backoff: Backoff,
    limit: Duration,
}

impl Inventory {
    /// The list with this region, endpoint and these credentials. Nothing is sent yet.
    pub fn new(aws: &Aws) -> Self {
        Self { aws: aws.clone(), client: aws.ssm(), backoff: BACKOFF, limit: LIST_TIMEOUT }
    }

    /// All nodes that `filter` asks for, up to 5,000.
    ///
    /// # Errors
    /// Those of every call; a list that takes over 60 s.
    pub async fn all(&self, filter: Filter<'_>) -> Result<List, ApiError> {
        let mut nodes = Vec::new();
        // A node that moves to a later page while the list is read is in both.
        let mut seen = HashSet::new();
        let mut pages = self.pages(filter);
        while let Some(page) = pages.next().await? {
            nodes.extend(page.into_iter().filter(|node| seen.insert(node.id.clone())));
        }
        Ok(List { nodes, is_whole: pages.is_at_end() })
    }

    /// The node with this id, if Systems Manager knows it.
    ///
    /// # Errors
    /// Those of [`Self::all`]; an answer without end.
    pub async fn node(&self, id: &str) -> Result<Option<ManagedNode>, ApiError> {
        let mut pages = self.pages(Filter::Id(id));
        loop {
            match pages.next().await {
                Ok(Some(nodes)) => {
                    if let Some(node) = nodes.into_iter().find(|node| node.id == id) {
                        return Ok(Some(node));
                    }
                }
                Ok(None) if pages.is_at_end() => return Ok(None),
                Ok(None) => return Err(self.failed(ApiFailure::Endless { pages: MAX_PAGES }).await),
                // The service answers an unknown id with an empty list at times, and with an error at others.
                Err(error) if error.kind() == ErrorKind::Gone => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// The pages with the nodes that `filter` asks for.
    fn pages<'a>(&'a self, filter: Filter<'a>) -> Pages<'a> {
        Pages { inventory: self, filter, next: Some(None), left: MAX_PAGES, deadline: Instant::now() + self.limit }
    }

    async fn failed(&self, failure: ApiFailure) -> ApiError {
        failed(&self.aws, &Call::DescribeInstanceInformation, failure).await
    }

    async fn ask(&self, filter: Filter<'_>, next: Option<String>) -> Result<Page, ApiError> {
        let filters = match filters(filter) {
            Ok(filters) => filters,
            Err(error) => return Err(self.failed(ApiFailure::Unsendable(error.to_string())).await),
        };
        let send = || {
            let request = self.client.describe_instance_information().max_results(PAGE);
            request.set_filters(filters.clone()).set_next_token(next.clone()).send()
        };
        let again = |kind| matches!(kind, ErrorKind::Throttled | ErrorKind::Passing);
        let attempts = Attempts { limit: ATTEMPTS, backoff: self.backoff };
        let answer = repeat(&self.aws, &Call::DescribeInstanceInformation, attempts, again, send).await?;
        let nodes: Vec<_> =
            answer.instance_information_list.unwrap_or_default().into_iter().filter_map(managed_node).collect();
        tracing::debug!(nodes = nodes.len(), more = answer.next_token.is_some(), "nodes listed");
        Ok(Page { nodes, next: answer.next_token.filter(|token| !token.is_empty()) })
    }
}

/// The pages of one list, within their limits.
#[derive(Debug)]
struct Pages<'a> {
    inventory: &'a Inventory,
    filter: Filter<'a>,
    /// The token of the next page, which the first page has none of; `None` if there is no next page.
    next: Option<Option<String>>,
    left: usize,
    deadline: Instant,
}

impl Pages<'_> {
    /// The next page's nodes; `None` after the last page that is followed.
    async fn next(&mut self) -> Result<Option<Vec<ManagedNode>>, ApiError> {
        if self.left == 0 {
            return Ok(None);
        }
        let Some(next) = self.next.take() else { return Ok(None) };
        self.left -= 1;
        let page = match timeout_at(self.deadline, self.inventory.ask(self.filter, next)).await {
            Ok(page) => page?,
            Err(_) => return Err(self.inventory.failed(ApiFailure::Late { limit: self.inventory.limit }).await),
        };
        self.next = page.next.map(Some);
        Ok(Some(page.nodes))
    }

    /// Whether the service has no more pages.
    fn is_at_end(&self) -> bool {
        self.next.is_none()
    }
}

fn filters(filter: Filter<'_>) -> Result<Option<Vec<InstanceInformationStringFilter>>, BuildError> {
    let one = |key: String, value: &str| InstanceInformationStringFilter::builder().key(key).values(value).build();
    match filter {
        Filter::All => Ok(None),
        Filter::Id(id) => Ok(Some(vec![one("InstanceIds".to_owned(), id)?])),
        Filter::Tags(tags) => {
            tags.iter().map(|tag| one(format!("tag:{}", tag.key), &tag.value)).collect::<Result<_, _>>().map(Some)
        }
    }
}

/// A node of the answer; `None` if it has no id.
fn managed_node(answer: InstanceInformation) -> Option<ManagedNode> {
    let some = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
    Some(ManagedNode {
        id: some(answer.instance_id)?,
        name: some(answer.name),
        computer_name: some(answer.computer_name),
        address: some(answer.ip_address),
        platform_type: answer.platform_type.map(|kind| kind.as_str().to_owned()),
        platform_name: some(answer.platform_name),
        platform_version: some(answer.platform_version),
        agent_version: some(answer.agent_version),
        resource_type: answer.resource_type.map(|kind| kind.as_str().to_owned()),
        ping: match answer.ping_status {
            Some(PingStatus::Online) => Ping::Online,
            Some(PingStatus::ConnectionLost) => Ping::ConnectionLost,
            Some(PingStatus::Inactive) => Ping::Inactive,
            Some(status) => Ping::Other(status.as_str().to_owned()),
            None => Ping::Other("unknown".to_owned()),
        },
        last_ping: answer.last_ping_date_time.and_then(|time| time.try_into().ok()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::Service;

    const MILLI: Duration = Duration::from_millis(1);

    async fn inventory(service: &Service) -> Inventory {
        let aws = service.aws("").await;
        let config = aws_sdk_ssm::config::Builder::from(aws.sdk()).http_client(service.clone()).build();
        Inventory { client: Client::from_conf(config), aws, backoff: Backoff::new(MILLI, MILLI), limit: LIST_TIMEOUT }
    }

    #[tokio::test]
    async fn pages_are_followed_even_if_one_is_empty() {
        let service = Service::answering([
            (200, r#"{"InstanceInformationList":[{"InstanceId":"i-1"},{"PingStatus":"Online"}],"NextToken":"a"}"#),
            (200, r#"{"InstanceInformationList":[],"NextToken":"b"}"#),
            (200, r#"{"InstanceInformationList":[{"InstanceId":"i-1"},{"InstanceId":"i-2"}],"NextToken":""}"#),
        ]);
        let tags = ["Name=web".parse().unwrap(), "Stage=x=y".parse().unwrap()];
        let List { nodes, is_whole } = inventory(&service).await.all(Filter::Tags(&tags)).await.unwrap();
        assert!(is_whole);
        assert_eq!(nodes.iter().map(|node| node.id.as_str()).collect::<Vec<_>>(), ["i-1", "i-2"]);
        let filters = r#""Filters":[{"Key":"tag:Name","Values":["web"]},{"Key":"tag:Stage","Values":["x=y"]}]"#;
        assert_eq!(
            service.requests(),
            [
                format!(r#"DescribeInstanceInformation {{{filters},"MaxResults":50}}"#),
                format!(r#"DescribeInstanceInformation {{{filters},"MaxResults":50,"NextToken":"a"}}"#),
                format!(r#"DescribeInstanceInformation {{{filters},"MaxResults":50,"NextToken":"b"}}"#),
            ]
        );
    }

    #[tokio::test]
    async fn a_node_has_what_the_service_says() {
        let service = Service::answering([(
            200,
            r#"{"InstanceInformationList":[{"InstanceId":"mi-1","Name":"office","ComputerName":"pc.example.com",
                "IPAddress":"10.0.1.17","PlatformType":"Linux","PlatformName":"Ubuntu","PlatformVersion":"24.04",
                "AgentVersion":"3.3.987.0","ResourceType":"ManagedInstance","PingStatus":"ConnectionLost",
                "LastPingDateTime":1795435200.5}]}"#,
        )]);
        let some = |text: &str| Some(text.to_owned());
        let expected = ManagedNode {
            id: "mi-1".to_owned(),
            name: some("office"),
            computer_name: some("pc.example.com"),
            address: some("10.0.1.17"),
            platform_type: some("Linux"),
            platform_name: some("Ubuntu"),
            platform_version: some("24.04"),
            agent_version: some("3.3.987.0"),
            resource_type: some("ManagedInstance"),
            ping: Ping::ConnectionLost,
            last_ping: Some(SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_435_200_500)),
        };
        assert_eq!(inventory(&service).await.node("mi-1").await.unwrap(), Some(expected));
    }

    #[tokio::test]
    async fn an_unknown_id_is_no_node_however_the_service_says_it() {
        for (status, answer) in [
            (200, r#"{"InstanceInformationList":[]}"#),
            (200, "{}"),
            (400, r#"{"__type":"InvalidInstanceId","message":"i-1"}"#),
        ] {
            let service = Service::answering([(status, answer)]);
            assert_eq!(inventory(&service).await.node("i-1").await, Ok(None), "{answer}");
        }
    }

    #[tokio::test]
    async fn a_list_that_never_ends_is_left() {
        let endless =
            || Service::answering([(200, r#"{"InstanceInformationList":[],"NextToken":"again"}"#); MAX_PAGES]);
        let service = endless();
        let expected = List { nodes: Vec::new(), is_whole: false };
        assert_eq!(inventory(&service).await.all(Filter::All).await, Ok(expected));
        assert_eq!(service.requests().len(), MAX_PAGES);
        let service = endless();
        let error = inventory(&service).await.node("i-1").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Passing);
        assert_eq!(error.to_string(), "ssm.eu-west-1.amazonaws.com goes on after 100 pages about one node");
        assert_eq!(service.requests().len(), MAX_PAGES);
    }

    #[tokio::test]
    async fn a_list_that_takes_too_long_is_left() {
        let limit = Duration::from_millis(10);
        let inventory = Inventory { limit, ..inventory(&Service::silent()).await };
        let late = inventory.all(Filter::All).await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::Passing);
        assert_eq!(late.to_string(), "ssm.eu-west-1.amazonaws.com has not given the list of nodes within 0 s");
        assert_eq!(inventory.node("i-1").await.unwrap_err(), late);
    }

    #[tokio::test]
    async fn throttling_and_failures_are_repeated_and_denial_is_not() {
        let refusal = |code: &str| format!(r#"{{"__type":"{code}","message":"m"}}"#);
        let (throttled, denied) = (refusal("ThrottlingException"), refusal("AccessDeniedException"));
        let service = Service::answering([(400, throttled.as_str()), (500, "{}"), (200, "{}")]);
        let expected = List { nodes: Vec::new(), is_whole: true };
        assert_eq!(inventory(&service).await.all(Filter::All).await, Ok(expected));
        let service = Service::answering([(400, denied.as_str())]);
        let error = inventory(&service).await.all(Filter::All).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert_eq!(service.requests().len(), 1);
    }
}
