//! The Kubernetes pod around a process: by the name of its control group, and, for the collector's own pod,
//! by the variables that `glassbox patch k8s` gives the collector from the downward API.

use std::sync::{Arc, LazyLock};

use crate::event::Pod;

/// The pod of a process whose control groups are `cgroup`, a /proc/PID/cgroup; empty where that is not seen.
pub fn pod_of(cgroup: &str) -> Option<Arc<Pod>> {
    pod(cgroup, OWN.as_ref())
}

/// A process whose control group names no pod is in the collector's own: the collector's socket is on a
/// volume of that pod.
fn pod(cgroup: &str, own: Option<&Arc<Pod>>) -> Option<Arc<Pod>> {
    let named = uid_in(cgroup);
    match (named, own) {
        (Some(uid), Some(own)) if *uid == *own.uid => Some(Arc::clone(own)),
        (Some(uid), _) => Some(Arc::new(Pod { uid: uid.into(), ..Pod::default() })),
        (None, own) => own.cloned(),
    }
}

/// The collector's pod, where it is a container that `glassbox patch k8s` or the webhook added.
static OWN: LazyLock<Option<Arc<Pod>>> = LazyLock::new(|| {
    let variable = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
    // A collector for a whole node has its socket elsewhere.
    let is_added = variable("GLASSBOX_SOCKET")?.starts_with("/glassbox/");
    let (uid, name) = (variable("K8S_POD_UID")?, variable("K8S_POD_NAME")?);
    let namespace = variable("K8S_NAMESPACE_NAME")?;
    let pod = Pod { uid: uid.into(), name: name.into(), namespace: namespace.into() };
    is_added.then(|| Arc::new(pod))
});

/// The uid of the pod that a control group is named after: `kubepods-burstable-podUID.slice`, with `_` for
/// `-`, or `/kubepods/burstable/podUID/`.
fn uid_in(cgroup: &str) -> Option<String> {
    let paths = cgroup.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    let segments = paths.flat_map(|path| {
        let mut segments = path.split('/').skip_while(|segment| !segment.starts_with("kubepods"));
        let first = segments.next();
        first.into_iter().chain(segments)
    });
    segments.filter_map(uid_of_segment).next()
}

fn uid_of_segment(segment: &str) -> Option<String> {
    let uid = match segment.strip_suffix(".slice") {
        Some(slice) => slice.strip_prefix("kubepods")?.rsplit_once("-pod")?.1.replace('_', "-"),
        None => segment.strip_prefix("pod")?.to_owned(),
    };
    let is_uid = uid.len() >= 32 && uid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    is_uid.then_some(uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "3e41dc6b-08a8-44db-bc2a-3724b18ab19a";

    fn named(uid: &str) -> String {
        format!("0::/kubepods/burstable/pod{uid}/4f2c\n")
    }

    #[test]
    fn control_groups_of_both_drivers_name_the_pod() {
        let underscored = UID.replace('-', "_");
        let slice = format!("kubepods-burstable-pod{underscored}.slice");
        for cgroup in [
            named(UID),
            format!("0::/kubepods.slice/kubepods-burstable.slice/{slice}/cri-containerd-4f2c.scope\n"),
            format!("0::/kubelet.slice/kubepods.slice/{slice}\n"),
            format!("11:cpu:/x\n9:memory:/kubepods/pod{UID}/4f2c\n"),
        ] {
            assert_eq!(Some(UID.to_owned()), uid_in(&cgroup), "{cgroup}");
        }
        for cgroup in ["", "0::/\n", "0::/user.slice/pod1234\n", "0::/kubepods/besteffort/podcast/x\n"] {
            assert_eq!(None, uid_in(cgroup), "{cgroup}");
        }
    }

    #[test]
    fn own_pod_has_names_and_another_one_its_uid_alone() {
        let own = Arc::new(Pod { uid: UID.into(), name: "web-1".into(), namespace: "shop".into() });
        let other = UID.replace('3', "4");
        let name_in =
            |cgroup: &str, own| pod(cgroup, own).map(|pod| (pod.uid.to_string(), pod.name.to_string()));
        let whole = Some((UID.to_owned(), "web-1".to_owned()));

        assert_eq!(whole, name_in(&named(UID), Some(&own)));
        assert_eq!(whole, name_in("0::/\n", Some(&own)));
        assert_eq!(Some((other.clone(), String::new())), name_in(&named(&other), Some(&own)));
        assert_eq!(None, name_in("0::/\n", None));
    }
}
