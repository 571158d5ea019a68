//! Tests of the hosts of API and streams in each of AWS's partitions, with FIPS and dual-stack: the API's by AWS's own
//! rules, the streams' with the message gateway's name in place of the API's.

use super::{
    Aws, Overrides,
    test_support::{Folder, aws_in},
};
use ssm_gateway::StreamUrl;

const FIPS: (&str, &str) = ("AWS_USE_FIPS_ENDPOINT", "true");
const DUAL_STACK: (&str, &str) = ("AWS_USE_DUALSTACK_ENDPOINT", "true");

async fn aws(region: &str, env: &[(&str, &str)]) -> Aws {
    let overrides = Overrides { region: Some(region.to_owned()), ..Overrides::default() };
    aws_in(&Folder::new(), &overrides, env, "").await
}

async fn hosts(region: &str, env: &[(&str, &str)]) -> (String, String) {
    let aws = aws(region, env).await;
    let stream = aws.stream_address().await.unwrap();
    assert!(stream.encrypted && stream.port == 443);
    // What is dialled early is what the stream's URL may name.
    StreamUrl::parse(&format!("wss://{}/v1/data-channel/s", stream.host), None, None).unwrap();
    (aws.api_host().await, stream.host)
}

#[tokio::test]
async fn each_region_has_its_hosts() {
    for (region, env, api, stream) in [
        ("us-east-1", &[][..], "ssm.us-east-1.amazonaws.com", "ssmmessages.us-east-1.amazonaws.com"),
        ("cn-north-1", &[], "ssm.cn-north-1.amazonaws.com.cn", "ssmmessages.cn-north-1.amazonaws.com.cn"),
        ("us-gov-west-1", &[], "ssm.us-gov-west-1.amazonaws.com", "ssmmessages.us-gov-west-1.amazonaws.com"),
        ("us-iso-east-1", &[], "ssm.us-iso-east-1.c2s.ic.gov", "ssmmessages.us-iso-east-1.c2s.ic.gov"),
        ("us-isob-east-1", &[], "ssm.us-isob-east-1.sc2s.sgov.gov", "ssmmessages.us-isob-east-1.sc2s.sgov.gov"),
        ("eu-isoe-west-1", &[], "ssm.eu-isoe-west-1.cloud.adc-e.uk", "ssmmessages.eu-isoe-west-1.cloud.adc-e.uk"),
        ("us-isof-south-1", &[], "ssm.us-isof-south-1.csp.hci.ic.gov", "ssmmessages.us-isof-south-1.csp.hci.ic.gov"),
        ("us-east-1", &[FIPS], "ssm-fips.us-east-1.amazonaws.com", "ssmmessages-fips.us-east-1.amazonaws.com"),
        ("us-east-1", &[DUAL_STACK], "ssm.us-east-1.api.aws", "ssmmessages.us-east-1.api.aws"),
        ("us-east-1", &[FIPS, DUAL_STACK], "ssm-fips.us-east-1.api.aws", "ssmmessages-fips.us-east-1.api.aws"),
        (
            "cn-north-1",
            &[DUAL_STACK],
            "ssm.cn-north-1.api.amazonwebservices.com.cn",
            "ssmmessages.cn-north-1.api.amazonwebservices.com.cn",
        ),
        // Its ordinary endpoints are the FIPS ones.
        ("us-gov-west-1", &[FIPS], "ssm.us-gov-west-1.amazonaws.com", "ssmmessages.us-gov-west-1.amazonaws.com"),
    ] {
        assert_eq!(hosts(region, env).await, (api.to_owned(), stream.to_owned()), "{region} {env:?}");
    }
}

#[tokio::test]
async fn with_an_endpoint_of_the_users_own_nothing_is_guessed() {
    let endpoint = |url: &str| Overrides { endpoint_url: Some(url.to_owned()), ..Overrides::default() };
    let vpce = aws_in(&Folder::new(), &endpoint("https://vpce-0a.ssm.eu-west-1.vpce.amazonaws.com"), &[], "").await;
    assert_eq!(vpce.stream_address().await, None);
}
