//! Containers that are not the application: other vendors' agents, proxies and log routers, which are left alone unless asked
//! for.
//!
//! They are told by their image, since names are chosen freely. A mirror keeps the end of the path
//! (`1234.dkr.ecr.eu-west-1.amazonaws.com/ecr-public/datadog/agent:7`), so that is what is compared.

/// The end of an image's path, and what it is.
const AGENTS: &[(&str, &str)] = &[
    ("datadog/agent", "the Datadog agent"),
    ("datadoghq/agent", "the Datadog agent"),
    ("datadog-agent", "the Datadog agent"),
    ("docker-dd-agent", "the Datadog agent"),
    ("cws-instrumentation", "Datadog's workload protection"),
    ("dynatrace-operator", "Dynatrace's"),
    ("dynatrace-activegate", "Dynatrace's"),
    ("oneagent", "Dynatrace's OneAgent"),
    ("dynatrace-code-modules", "Dynatrace's OneAgent"),
    ("dynatrace-codemodules", "Dynatrace's OneAgent"),
    ("aws-otel-collector", "the AWS collector for OpenTelemetry"),
    ("opentelemetry-collector", "the OpenTelemetry collector"),
    ("opentelemetry-collector-contrib", "the OpenTelemetry collector"),
    ("splunk-otel-collector", "Splunk's OpenTelemetry collector"),
    ("autoinstrumentation-java", "OpenTelemetry's instrumentation"),
    ("autoinstrumentation-nodejs", "OpenTelemetry's instrumentation"),
    ("autoinstrumentation-python", "OpenTelemetry's instrumentation"),
    ("autoinstrumentation-dotnet", "OpenTelemetry's instrumentation"),
    ("adot-autoinstrumentation-java", "OpenTelemetry's instrumentation"),
    ("adot-autoinstrumentation-node", "OpenTelemetry's instrumentation"),
    ("adot-autoinstrumentation-python", "OpenTelemetry's instrumentation"),
    ("adot-autoinstrumentation-dotnet", "OpenTelemetry's instrumentation"),
    ("aws-xray-daemon", "the X-Ray daemon"),
    ("cloudwatch-agent", "the CloudWatch agent"),
    ("amazon-cloudwatch-agent", "the CloudWatch agent"),
    ("aws-appmesh-envoy", "the Envoy of App Mesh"),
    ("envoyproxy/envoy", "Envoy"),
    ("consul-dataplane", "Consul's proxy"),
    ("consul-ecs", "Consul's controller"),
    ("aws-for-fluent-bit", "a log router"),
    ("fluent-bit", "a log router"),
    ("fluentd", "a log router"),
    ("timberio/vector", "a log router"),
    ("newrelic/nri-ecs", "the New Relic agent"),
    ("newrelic/infrastructure-bundle", "the New Relic agent"),
    ("elastic-agent", "the Elastic agent"),
    ("grafana/agent", "the Grafana agent"),
    ("grafana/alloy", "the Grafana agent"),
    ("workload-agent", "Sysdig's agent"),
    ("falcon-sensor/release/falcon-container", "CrowdStrike's sensor"),
    ("falcon-container", "CrowdStrike's sensor"),
];

/// What the image is known to be, if it is an agent.
pub fn known(image: &str) -> Option<&'static str> {
    let path = path(image);
    let is_end =
        |end: &str| path.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'));
    AGENTS.iter().find(|(end, _)| is_end(end)).map(|(_, what)| *what)
}

/// An image's name without its tag and digest; a colon before the last slash is a port.
fn path(image: &str) -> &str {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    let from = name.rfind('/').map_or(0, |slash| slash + 1);
    let tag = name.get(from..).and_then(|last| last.find(':')).map(|colon| from + colon);
    tag.and_then(|colon| name.get(..colon)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_are_known_from_any_registry_under_any_tag() {
        for image in [
            "datadog/agent",
            "public.ecr.aws/datadog/agent:7",
            "localhost:5000/datadog/agent",
            "1.dkr.ecr.eu-west-1.amazonaws.com/ecr-public/datadog/agent:7@sha256:00",
        ] {
            assert_eq!(Some("the Datadog agent"), known(image), "{image}");
        }
    }

    #[test]
    fn names_that_only_end_alike_are_applications() {
        for image in
            ["agent", "mydatadog/agent", "shop-fluentd", "x/datadog/agent-demo:1", "envoy/app", "", ":@/"]
        {
            assert_eq!(None, known(image), "{image}");
        }
    }

    #[test]
    fn no_image_is_there_twice() {
        let ends: std::collections::HashSet<_> = AGENTS.iter().map(|(end, _)| end).collect();

        assert_eq!(AGENTS.len(), ends.len());
    }
}
