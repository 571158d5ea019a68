//! What AWS refuses, in AWS's words, and what is made of them.

use fixtures::HOST;
use fixtures::standin::{ApiFault, Options};

use super::{bench, rule, says, says_of};

/// An answer of AWS, and what is said of it. `SAID` is the error's name and message, as they were sent.
struct Answer {
    status: u16,
    kind: &'static str,
    message: &'static str,
    code: i32,
    failed: &'static str,
    hint: &'static str,
}

impl Answer {
    fn failed(&self) -> String {
        self.failed.replace("SAID", &format!("{}: {}", self.kind, self.message))
    }

    fn fault(&self) -> ApiFault {
        ApiFault::Says(self.status, self.kind.to_owned(), self.message.to_owned())
    }
}

const START_SESSION: &[Answer] = &[
    // Denied on the instance.
    Answer {
        status: 400,
        kind: "AccessDeniedException",
        message: "User: arn:aws:sts::111122223333:assumed-role/ops/me is not authorized to perform: ssm:StartSession \
            on resource: arn:aws:ec2:us-east-1:111122223333:instance/i-0123456789abcdef0 because no identity-based \
            policy allows the ssm:StartSession action",
        code: 77,
        failed: "StartSession is not permitted (SAID)",
        hint: "IAM must allow ssm:StartSession on the node, \
            arn:aws:ec2:us-east-1:111122223333:instance/i-0123456789abcdef0",
    },
    // Denied on the document.
    Answer {
        status: 400,
        kind: "AccessDeniedException",
        message: "User: arn:aws:sts::111122223333:assumed-role/ops/me is not authorized to perform: ssm:StartSession \
            on resource: arn:aws:ssm:us-east-1::document/AWS-StartSSHSession because no identity-based policy allows \
            the ssm:StartSession action",
        code: 77,
        failed: "StartSession is not permitted (SAID)",
        hint: "IAM must allow ssm:StartSession on the session document, \
            arn:aws:ssm:us-east-1::document/AWS-StartSSHSession",
    },
    // Denied, and AWS does not say on what.
    Answer {
        status: 400,
        kind: "AccessDeniedException",
        message: "User is not authorized to perform this action.",
        code: 77,
        failed: "StartSession is not permitted (SAID)",
        hint: "IAM must allow ssm:StartSession on the node and on document/AWS-StartSSHSession",
    },
    // Denied by a policy that says so.
    Answer {
        status: 400,
        kind: "AccessDeniedException",
        message: "User: arn:aws:iam::111122223333:user/me is not authorized to perform: ssm:StartSession on resource: \
            arn:aws:ec2:us-east-1:111122223333:instance/i-0123456789abcdef0 with an explicit deny in a service control \
            policy",
        code: 77,
        failed: "StartSession is not permitted (SAID)",
        hint: "nothing that IAM allows helps against it: the service control policy must not deny ssm:StartSession on \
            the node, arn:aws:ec2:us-east-1:111122223333:instance/i-0123456789abcdef0",
    },
    // Denied by the way that the request takes.
    Answer {
        status: 400,
        kind: "AccessDeniedException",
        message: "User: arn:aws:iam::111122223333:user/me is not authorized to perform: ssm:StartSession on resource: \
            arn:aws:ssm:us-east-1:111122223333:managed-instance/mi-0123456789abcdef0 because no VPC endpoint policy \
            allows the ssm:StartSession action",
        code: 77,
        failed: "StartSession is not permitted (SAID)",
        hint: "the VPC endpoint policy must allow ssm:StartSession on the node, \
            arn:aws:ssm:us-east-1:111122223333:managed-instance/mi-0123456789abcdef0",
    },
    // The token has expired. The bench's user has keys in the environment.
    Answer {
        status: 400,
        kind: "ExpiredTokenException",
        message: "The security token included in the request is expired",
        code: 77,
        failed: "the AWS credentials have expired (SAID)",
        hint: "renew AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or name a profile with --profile",
    },
    // The keys are not AWS's.
    Answer {
        status: 400,
        kind: "UnrecognizedClientException",
        message: "The security token included in the request is invalid.",
        code: 77,
        failed: "127.0.0.1 does not accept the AWS credentials (SAID)",
        hint: "renew AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or name a profile with --profile",
    },
    // This machine's clock is slow, then fast.
    Answer {
        status: 400,
        kind: "InvalidSignatureException",
        message: "Signature expired: 20261107T233021Z is now earlier than 20261110T071214Z (20261110T071714Z - 5 min.)",
        code: 77,
        failed: "AWS finds the time of the request wrong (SAID)",
        hint: "set this machine's clock, which may be at most 5 minutes off: date -u shows it",
    },
    Answer {
        status: 400,
        kind: "InvalidSignatureException",
        message: "Signature not yet current: 20261102T170509Z is still later than 20261102T170312Z \
            (20261102T165812Z + 5 min.)",
        code: 77,
        failed: "AWS finds the time of the request wrong (SAID)",
        hint: "set this machine's clock, which may be at most 5 minutes off: date -u shows it",
    },
    // AWS itself is in trouble.
    Answer {
        status: 500,
        kind: "InternalServerError",
        message: "An error occurred on the server side.",
        code: 75,
        failed: "127.0.0.1 fails with HTTP 500 (SAID)",
        hint: "try again in a moment",
    },
    Answer {
        status: 503,
        kind: "",
        message: "<html><body><b>Http/1.1 Service Unavailable</b></body></html>",
        code: 75,
        failed: "127.0.0.1 fails with HTTP 503",
        hint: "try again in a moment",
    },
    // Something else answers: a login page of the network, then a web server.
    Answer {
        status: 200,
        kind: "",
        message: "<html><body>Welcome to the hotel. Please accept the terms.</body></html>",
        code: 75,
        failed: "127.0.0.1 answers HTTP 200, and not as SSM does",
        hint: "check --endpoint-url and HTTPS_PROXY; a login page of the network may be in between",
    },
    Answer {
        status: 404,
        kind: "",
        message: "<html><body>Not Found</body></html>",
        code: 75,
        failed: "127.0.0.1 answers HTTP 404, and not as SSM does",
        hint: "check --endpoint-url and HTTPS_PROXY; a login page of the network may be in between",
    },
    // Something that is not known here.
    Answer {
        status: 400,
        kind: "InvalidParameters",
        message: "Parameter \"portNumber\" has value \"ssh\" not matching \"^([1-9]|[1-9][0-9]{1,3})$\".",
        code: 78,
        failed: "127.0.0.1 refuses StartSession (SAID)",
        hint: "check HOST, --document-name, --parameters and --endpoint-url",
    },
];

#[test]
fn start_session() {
    let bench = bench(Options::default());
    for answer in START_SESSION {
        bench.control().api_rule(rule("StartSession", answer.fault(), 1));
        says(bench.proxy().arg(HOST).run(), answer.code, &answer.failed(), answer.hint);
    }
    assert!(bench.finish().sessions.is_empty());
}

#[test]
fn throttling() {
    let bench =
        bench(Options { api_rules: vec![rule("StartSession", ApiFault::Throttling, u32::MAX)], ..Options::default() });
    says(
        bench.proxy().arg(HOST).run(),
        75,
        "127.0.0.1 throttles StartSession (ThrottlingException: Rate exceeded)",
        "try again in a moment; ssh's ControlMaster lets many connections share one session",
    );
    assert_eq!(bench.finish().calls_of("StartSession"), 4);
}

#[test]
fn a_document_that_does_not_exist() {
    let bench = bench(Options::default());
    says(
        bench.proxy().args([HOST, "--document-name", "Company-SSH"]).run(),
        78,
        "document Company-SSH cannot be used (InvalidDocument: Document with name Company-SSH does not exist.)",
        "check --document-name; AWS-StartSSHSession exists in every account",
    );
    bench.finish();
}

#[test]
fn describe_instance_information() {
    let bench = bench(Options {
        api_rules: vec![rule("DescribeInstanceInformation", ApiFault::AccessDenied, u32::MAX)],
        ..Options::default()
    });
    says_of(
        "web",
        bench.proxy().arg("web").run(),
        77,
        "DescribeInstanceInformation is not permitted (AccessDeniedException: User: \
         arn:aws:iam::111122223333:user/standin is not authorized to perform: ssm:DescribeInstanceInformation on \
         resource: arn:aws:ssm:us-east-1:111122223333:* because no identity-based policy allows the \
         ssm:DescribeInstanceInformation action)",
        "IAM must allow ssm:DescribeInstanceInformation on *; an instance id in place of a name needs no look-up",
    );
    bench.finish();
}
