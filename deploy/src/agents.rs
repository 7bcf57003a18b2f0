//! Containers that are not the application: other vendors' agents, proxies and log routers. They are left
//! alone unless they are asked for.
//!
//! A task definition names containers freely, so its agents are known by their images. A mirror keeps the end
//! of an image's path (`1234.dkr.ecr.eu-west-1.amazonaws.com/ecr-public/datadog/agent:7`), so only the end is
//! compared. In a pod an agent is put in by an operator or a webhook, from an image that the cluster's owner
//! chooses and under a fixed name, so pods' agents are known by their names.

/// An agent of another vendor.
struct Agent {
    /// The words of a note, after "it is".
    what: &'static str,
    /// The ends of its images' paths.
    images: &'static [&'static str],
    /// The names that its containers have in pods.
    names: &'static [&'static str],
}

const AGENTS: &[Agent] = &[
    Agent {
        what: "the Datadog agent",
        images: &["datadog/agent", "datadoghq/agent", "datadog-agent", "docker-dd-agent"],
        names: &["datadog-agent"],
    },
    Agent { what: "Datadog's workload protection", images: &["cws-instrumentation"], names: &[] },
    Agent { what: "Dynatrace's", images: &["dynatrace-operator", "dynatrace-activegate"], names: &[] },
    Agent {
        what: "Dynatrace's OneAgent",
        images: &["oneagent", "dynatrace-code-modules", "dynatrace-codemodules"],
        names: &[],
    },
    Agent { what: "the AWS collector for OpenTelemetry", images: &["aws-otel-collector"], names: &[] },
    Agent {
        what: "the OpenTelemetry collector",
        images: &["opentelemetry-collector", "opentelemetry-collector-contrib"],
        names: &["otc-container"],
    },
    Agent { what: "Splunk's OpenTelemetry collector", images: &["splunk-otel-collector"], names: &[] },
    Agent {
        what: "OpenTelemetry's instrumentation",
        images: &[
            "autoinstrumentation-java",
            "autoinstrumentation-nodejs",
            "autoinstrumentation-python",
            "autoinstrumentation-dotnet",
            "adot-autoinstrumentation-java",
            "adot-autoinstrumentation-node",
            "adot-autoinstrumentation-python",
            "adot-autoinstrumentation-dotnet",
        ],
        names: &[],
    },
    Agent { what: "the X-Ray daemon", images: &["aws-xray-daemon"], names: &[] },
    Agent {
        what: "the CloudWatch agent",
        images: &["cloudwatch-agent", "amazon-cloudwatch-agent"],
        names: &[],
    },
    Agent { what: "the Envoy of App Mesh", images: &["aws-appmesh-envoy"], names: &[] },
    Agent { what: "Envoy", images: &["envoyproxy/envoy"], names: &["envoy"] },
    Agent { what: "Istio's proxy", images: &[], names: &["istio-proxy", "istio-init", "istio-validation"] },
    Agent { what: "Linkerd's proxy", images: &[], names: &["linkerd-proxy", "linkerd-init"] },
    Agent { what: "Consul's proxy", images: &["consul-dataplane"], names: &["consul-dataplane"] },
    Agent { what: "Consul's controller", images: &["consul-ecs"], names: &[] },
    Agent { what: "Vault's agent", images: &[], names: &["vault-agent", "vault-agent-init"] },
    Agent { what: "the Cloud SQL proxy", images: &[], names: &["cloud-sql-proxy"] },
    Agent {
        what: "a log router",
        images: &["aws-for-fluent-bit", "fluent-bit", "fluentd", "timberio/vector"],
        names: &[],
    },
    Agent {
        what: "the New Relic agent",
        images: &["newrelic/nri-ecs", "newrelic/infrastructure-bundle"],
        names: &[],
    },
    Agent { what: "the Elastic agent", images: &["elastic-agent"], names: &[] },
    Agent { what: "the Grafana agent", images: &["grafana/agent", "grafana/alloy"], names: &[] },
    Agent { what: "Sysdig's agent", images: &["workload-agent"], names: &[] },
    Agent {
        what: "CrowdStrike's sensor",
        images: &["falcon-sensor/release/falcon-container", "falcon-container"],
        names: &[],
    },
];

/// The agent in an image; `None` for any other image.
pub fn by_image(image: &str) -> Option<&'static str> {
    let path = path(image);
    let is_end =
        |end: &&str| path.strip_suffix(*end).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'));
    AGENTS.iter().find(|agent| agent.images.iter().any(is_end)).map(|agent| agent.what)
}

/// The agent in a pod's container, by its name; `None` for any other container.
pub fn by_name(name: &str) -> Option<&'static str> {
    AGENTS.iter().find(|agent| agent.names.contains(&name)).map(|agent| agent.what)
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
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn agents_are_known_from_any_registry_under_any_tag() {
        for image in [
            "datadog/agent",
            "public.ecr.aws/datadog/agent:7",
            "localhost:5000/datadog/agent",
            "1.dkr.ecr.eu-west-1.amazonaws.com/ecr-public/datadog/agent:7@sha256:00",
        ] {
            assert_eq!(Some("the Datadog agent"), by_image(image), "{image}");
        }
    }

    #[test]
    fn names_that_only_end_alike_are_applications() {
        for image in
            ["agent", "mydatadog/agent", "shop-fluentd", "x/datadog/agent-demo:1", "envoy/app", "", ":@/"]
        {
            assert_eq!(None, by_image(image), "{image}");
        }
        for name in ["my-istio-proxy", "app", ""] {
            assert_eq!(None, by_name(name), "{name}");
        }
    }

    #[test]
    fn no_image_and_no_name_is_there_twice() {
        let images: Vec<_> = AGENTS.iter().flat_map(|agent| agent.images).collect();
        let names: Vec<_> = AGENTS.iter().flat_map(|agent| agent.names).collect();

        assert_eq!(images.len(), images.iter().collect::<HashSet<_>>().len());
        assert_eq!(names.len(), names.iter().collect::<HashSet<_>>().len());
    }

    #[test]
    fn every_agent_is_known_by_something() {
        assert!(AGENTS.iter().all(|agent| !agent.images.is_empty() || !agent.names.is_empty()));
    }
}
