//! The target, as the HOST of a command line names it: a node's id or another name, its region, and the profile to use.
//!
//! Pure text in, [`Target`] out. It must not know AWS's API, the network, files or the environment; whether a node
//! exists is the service's to say.
//!
//! ```text
//! i-0123456789abcdef0                     an id
//! i-0123456789abcdef0.eu-west-1.prod      the same, its region and the profile to use
//! web-1.eu-west-1                         a name and its region
//! 10.0.1.17                               an address
//! ip-10-0-1-17.eu-west-1.compute.internal a private DNS name, whose region is in it
//! ```

use std::fmt;

use ssm_aws::{Tag, is_ecs_task, is_node_id, is_region};

/// The longest name that anything is known by, in characters: a Name tag is.
const MAX_NAME_CHARS: usize = Tag::MAX_VALUE_CHARS;
/// What follows the region in the private DNS names of EC2, except in us-east-1, where no region is in them.
const PRIVATE_DNS: [&str; 2] = ["compute", "internal"];

/// The node that a session is to be started on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Target {
    /// Which node.
    pub node: Node,
    /// The region that HOST names.
    pub region: Option<String>,
    /// The profile that HOST names, in the case that HOST has: ssh writes `%h` in lower case.
    pub profile: Option<String>,
}

/// Which node is meant.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Node {
    /// Its id, byte for byte as given: the service knows best which ids exist.
    Id(String),
    /// What it is known by; its id has to be looked up.
    Alias(Alias),
}

/// What a node is known by besides its id.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Alias {
    /// Its Name tag, computer name, private DNS name or address.
    Name(String),
    /// Tags, all of which it has.
    Tags(Vec<Tag>),
}

impl fmt::Display for Alias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Tags(tags) => {
                let texts: Vec<_> = tags.iter().map(Tag::to_string).collect();
                f.write_str(&texts.join(" "))
            }
        }
    }
}

impl Target {
    /// Reads a HOST: an id `i-…` or `mi-…`, an ECS task `ecs:cluster_task_runtimeid` (protocol §1), or a name, each but
    /// the task with `.REGION` or `.REGION.PROFILE` behind it.
    ///
    /// # Errors
    /// [`NotATarget`] for what can be none of these.
    pub fn parse(host: &str) -> Result<Self, NotATarget> {
        if host.starts_with("ecs:") {
            let node = Node::Id(host.to_owned());
            return is_ecs_task(host).then_some(Self { node, region: None, profile: None }).ok_or(NotATarget::Shape);
        }
        let labels: Vec<&str> = host.split('.').collect();
        if let Some((id, suffix)) = labels.split_first().filter(|(id, _)| is_node_id(id))
            && let Some((region, profile)) = read_suffix(suffix)
        {
            return Ok(Self { node: Node::Id((*id).to_owned()), region, profile });
        }
        // The last region counts: a name that has one in it is given in full with its region behind it.
        let suffix_at = (1..labels.len()).rev().find(|at| labels.get(*at).is_some_and(|label| is_region(label)));
        let (name, suffix) = labels.split_at(suffix_at.unwrap_or(labels.len()));
        let (name, region, profile) = match read_suffix(suffix) {
            Some((region, None)) if suffix.get(1..).is_some_and(|rest| rest == PRIVATE_DNS) => {
                (host.to_owned(), region, None)
            }
            Some((region, profile)) => (name.join("."), region, profile),
            None => (host.to_owned(), None, None),
        };
        match is_name(&name) {
            true => Ok(Self { node: Node::Alias(Alias::Name(name)), region, profile }),
            false if host.contains('@') => Err(NotATarget::User),
            false => Err(NotATarget::Shape),
        }
    }
}

/// Why a text given as HOST is none of the forms that [`Target::parse`] takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotATarget {
    /// It has the shape of none of them.
    #[error("names no node")]
    Shape,
    /// It is `USER@HOST`, as ssh takes it.
    #[error("is not an instance id or name")]
    User,
}

impl NotATarget {
    /// What to give instead of `host`, one line.
    pub fn hint(self, host: &str) -> String {
        match (self, host.rsplit_once('@')) {
            (Self::User, Some((user, _))) => format!("leave out '{user}@': ssh passes the user itself"),
            _ => "give an instance id (i-0123456789abcdef0), a hybrid node id (mi-…), an ECS task \
                (ecs:cluster_task_runtimeid), or a node's name or address"
                .to_owned(),
        }
    }
}

/// `REGION`, `REGION.PROFILE`, or nothing; and `REGION.compute.internal`, where no profile is meant.
fn read_suffix(labels: &[&str]) -> Option<(Option<String>, Option<String>)> {
    let Some((region, profile)) = labels.split_first() else { return Some((None, None)) };
    let profile = Some(profile).filter(|profile| !profile.is_empty() && *profile != PRIVATE_DNS);
    let is_suffix = is_region(region) && profile.is_none_or(|profile| profile.iter().all(|label| !label.is_empty()));
    is_suffix.then(|| (Some((*region).to_owned()), profile.map(|profile| profile.join("."))))
}

/// Whether a node may be known by this. `@` is the one character that tags may have and names may not: where it stands
/// the user of `user@host` has been left in.
fn is_name(text: &str) -> bool {
    let length = text.chars().count();
    let plain = text.chars().all(|character| !character.is_control() && character != '@');
    (1..=MAX_NAME_CHARS).contains(&length) && plain && text.trim() == text && !text.starts_with('.')
}

#[cfg(test)]
mod tests {
    use ssm_aws::MAX_TARGET_CHARS;

    use super::*;

    fn parsed(host: &str) -> (String, Option<String>, Option<String>) {
        let Target { node, region, profile } = Target::parse(host).unwrap_or_else(|_| panic!("{host:?}"));
        let node = match node {
            Node::Id(id) => format!("id {id}"),
            Node::Alias(alias) => format!("name {alias}"),
        };
        (node, region, profile)
    }

    #[test]
    fn ids_are_taken_unchanged() {
        let long = format!("i-{}", "a".repeat(MAX_TARGET_CHARS - 2));
        for host in [
            "i-1234567890abcdef0",
            "i-02573cafcfEXAMPLE",
            "mi-0a1b2c3d4e5f60718",
            "i-0",
            "ecs:web_0123456789abcdef0123456789abcdef_0123456789abcdef0123456789abcdef-2531612879",
            "ecs:my_cluster-1_task_runtime",
            &long,
        ] {
            assert_eq!(parsed(host), (format!("id {host}"), None, None));
        }
    }

    #[test]
    fn a_region_and_a_profile_may_follow() {
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        for (host, node, region, profile) in [
            ("i-0abc.eu-west-1", "id i-0abc", "eu-west-1", ""),
            ("mi-0abc.us-gov-west-1.Prod", "id mi-0abc", "us-gov-west-1", "Prod"),
            ("i-0abc.eu-west-1.prod.admin", "id i-0abc", "eu-west-1", "prod.admin"),
            ("i-0abc.eu-west-1.prod.us-east-1", "id i-0abc", "eu-west-1", "prod.us-east-1"),
            ("i-0abc.eu-west-1.compute.internal", "id i-0abc", "eu-west-1", ""),
            ("web-1.ap-southeast-2", "name web-1", "ap-southeast-2", ""),
            ("web-1.eusc-de-east-1.prod.admin", "name web-1", "eusc-de-east-1", "prod.admin"),
            ("10.0.1.17.eu-west-1", "name 10.0.1.17", "eu-west-1", ""),
            ("fd00::17.us-isob-east-1.x", "name fd00::17", "us-isob-east-1", "x"),
            ("db.corp.example.eu-west-1.prod", "name db.corp.example", "eu-west-1", "prod"),
            ("db.eu-west-1.corp.eu-central-1", "name db.eu-west-1.corp", "eu-central-1", ""),
        ] {
            assert_eq!(parsed(host), (node.to_owned(), some(region), some(profile)), "{host}");
        }
    }

    #[test]
    fn names_with_dots_are_names_unless_a_region_is_in_them() {
        for host in [
            "web-1",
            "Web 1",
            "prod/web",
            "10.0.1.17",
            "2001:db8::17",
            "ip-10-0-1-17.ec2.internal",
            "web-1.example.com",
            "web-1.eu-west",
            "web-1.EU-WEST-1",
            "web-1.west-1",
            "web-1.frankfurt-am-main-1",
            "eu-west-1",
            "eu-west-1.example.com",
            "I-0123",
            "i-é",
            "i-0123/x",
            "i-0123.example.com",
        ] {
            assert_eq!(parsed(host), (format!("name {host}"), None, None));
        }
    }

    #[test]
    fn a_private_dns_name_is_kept_whole_and_says_its_region() {
        let name = "ip-10-0-1-17.eu-west-1.compute.internal";
        assert_eq!(parsed(name), (format!("name {name}"), Some("eu-west-1".to_owned()), None));
        let with_profile = format!("{name}.eu-west-1.prod");
        assert_eq!(parsed(&with_profile), (format!("name {name}"), Some("eu-west-1".into()), Some("prod".into())));
    }

    #[test]
    fn what_cannot_be_a_node_is_refused() {
        let long = "a".repeat(MAX_NAME_CHARS + 1);
        for host in [
            "",
            "i-0123 ",
            " web",
            "ec2-user@i-0123",
            "web\n",
            ".eu-west-1",
            "ecs:",
            "ecs:cluster_task",
            "ecs:_task_runtime",
            "ecs:cluster__runtime",
            "ecs:cluster_task_",
            "ecs:cluster_task_run time",
            &long,
        ] {
            assert!(Target::parse(host).is_err(), "{host:?}");
        }
    }

    #[test]
    fn a_suffix_that_ends_in_a_dot_is_none() {
        assert_eq!(parsed("web.eu-west-1..x").0, "name web.eu-west-1..x");
    }
}
