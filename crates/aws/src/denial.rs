//! AWS's sentence about a denied request: the resource, and the kind of policy.
//!
//! It must not know which request was denied; the sentence says it, if the service gives one.

/// The facts of the sentence, as far as it is one: `User: … is not authorized to perform: ACTION on resource: RESOURCE
/// because no KIND-OF-POLICY allows the ACTION action`, or `… with an explicit deny in a KIND-OF-POLICY`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Denial<'a> {
    /// The ARN that the action was denied on.
    pub resource: Option<&'a str>,
    /// The kind of policy that allows nothing.
    pub silent: Option<&'a str>,
    /// The kind of policy that denies it.
    pub denying: Option<&'a str>,
}

impl<'a> Denial<'a> {
    /// Reads what the service said.
    pub fn read(text: &'a str) -> Self {
        let after = |words: &str| text.split_once(words).map(|(_, rest)| rest);
        let resource = after(" on resource: ").and_then(|rest| rest.split([' ', ',']).next());
        let silent = after(" because no ").and_then(|rest| rest.split_once(" allows ")).map(|(policy, _)| policy);
        let denying = after(" with an explicit deny in ").and_then(|rest| rest.split([':', '.', ',']).next());
        let without_article = |policy: &'a str| policy.trim_start_matches("an ").trim_start_matches("a ");
        Self { resource, silent, denying: denying.map(without_article) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resource_is_read() {
        const USER: &str =
            "User: arn:aws:sts::111122223333:assumed-role/ops/me is not authorized to perform: ssm:StartSession";
        let text = format!("{USER} on resource: arn:aws:ssm:us-east-1::document/D because no identity-based policy");
        assert_eq!(Denial::read(&text).resource, Some("arn:aws:ssm:us-east-1::document/D"));
        assert_eq!(Denial::read("Forbidden"), Denial::default());
    }
}
