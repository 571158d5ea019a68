//! AWS's sentence about a denied request, and what cures it: which kind of policy must allow what, and on what.
//!
//! Words only. It must not know which request was denied; the sentence says it, if the service gives one.

/// The user's own sessions, as a policy names them.
pub(crate) const OWN_SESSIONS: &str = "your own sessions, arn:aws:ssm:*:*:session/${aws:userid}-*";

/// What the sentence says, as far as it is one: `User: … is not authorized to perform: ACTION on resource: RESOURCE
/// because no KIND-OF-POLICY allows the ACTION action`, or `… with an explicit deny in a KIND-OF-POLICY`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Denial<'a> {
    /// The ARN that the action was denied on.
    pub(crate) resource: Option<&'a str>,
    /// The kind of policy that allows nothing.
    silent: Option<&'a str>,
    /// The kind of policy that denies it.
    denying: Option<&'a str>,
}

impl<'a> Denial<'a> {
    /// Reads what the service said.
    pub(crate) fn read(text: &'a str) -> Self {
        let after = |words: &str| text.split_once(words).map(|(_, rest)| rest);
        let resource = after(" on resource: ").and_then(|rest| rest.split([' ', ',']).next());
        let silent = after(" because no ").and_then(|rest| rest.split_once(" allows ")).map(|(policy, _)| policy);
        let denying = after(" with an explicit deny in ").and_then(|rest| rest.split([':', '.', ',']).next());
        let article = |policy: &'a str| policy.trim_start_matches("an ").trim_start_matches("a ");
        Self { resource, silent, denying: denying.map(article) }
    }

    /// What is to be done so that `action` is allowed on `on`.
    pub(crate) fn cure(self, action: &str, on: &str) -> String {
        match (self.denying, self.silent) {
            (Some(policy), _) => {
                format!("nothing that IAM allows helps against it: the {policy} must not deny {action} on {on}")
            }
            (None, Some(policy)) if policy != "identity-based policy" => {
                format!("the {policy} must allow {action} on {on}")
            }
            _ => format!("IAM must allow {action} on {on}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: &str =
        "User: arn:aws:sts::111122223333:assumed-role/ops/me is not authorized to perform: ssm:StartSession";

    #[test]
    fn the_kind_of_policy_is_named() {
        for (rest, cure) in [
            ("", "IAM must allow ssm:StartSession on it"),
            (" on resource: i-0", "IAM must allow ssm:StartSession on it"),
            (
                " on resource: i-0 because no identity-based policy allows the ssm:StartSession action",
                "IAM must allow ssm:StartSession on it",
            ),
            (
                " on resource: i-0 because no permissions boundary allows the ssm:StartSession action",
                "the permissions boundary must allow ssm:StartSession on it",
            ),
            (
                " on resource: i-0 because no VPC endpoint policy allows the ssm:StartSession action",
                "the VPC endpoint policy must allow ssm:StartSession on it",
            ),
            (
                " on resource: i-0 with an explicit deny in a service control policy",
                "nothing that IAM allows helps against it: the service control policy must not deny ssm:StartSession on it",
            ),
            (
                " on resource: i-0 with an explicit deny in an identity-based policy: arn:aws:iam::1:policy/x",
                "nothing that IAM allows helps against it: the identity-based policy must not deny ssm:StartSession on it",
            ),
        ] {
            assert_eq!(Denial::read(&format!("{USER}{rest}")).cure("ssm:StartSession", "it"), cure, "{rest}");
        }
    }

    #[test]
    fn the_resource_is_read() {
        let text = format!("{USER} on resource: arn:aws:ssm:us-east-1::document/D because no identity-based policy");
        assert_eq!(Denial::read(&text).resource, Some("arn:aws:ssm:us-east-1::document/D"));
        assert_eq!(Denial::read("Forbidden"), Denial::default());
    }
}
