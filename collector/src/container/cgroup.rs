//! Reads a container's id from the name of its control group, where container engines put it.

/// A container's id, as the name of a control group says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Named<'a> {
    /// Empty outside of a container.
    pub id: &'a str,
    /// Only the system's own engines make groups there.
    pub is_certain: bool,
}

/// The container whose control group `text`, a /proc/PID/cgroup, names.
///
/// The outermost group counts: what is inside of a container makes groups of any name there. So do users in
/// groups that the system gave them, in whose names the word is theirs ([`is_given`]).
///
/// Engines name a group after the container's 64 hexadecimal digits: alone (`/docker/ID`, `/kubepods/…/ID`),
/// or between the engine's name and `.scope` (`docker-ID.scope`, `cri-containerd-ID.scope`, `crio-ID.scope`,
/// `libpod-ID.scope`). On Fargate it is 32 of them, and a number of ten digits: `/ecs/TASK/ID`.
pub fn named(text: &str) -> Named<'_> {
    let paths = text.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    let in_path = |path| {
        let mut is_certain = true;
        for segment in str::split(path, '/') {
            if let Some(id) = id_in(segment) {
                return Some(Named { id, is_certain });
            }
            is_certain &= !is_given(segment);
        }
        None
    };
    paths.filter_map(in_path).next().unwrap_or_default()
}

/// Whether those inside of a group may make groups below it: a user's, a service's or another machine's, to
/// which the system gave it (systemd.resource-control(5), `Delegate=`).
fn is_given(segment: &str) -> bool {
    segment == "user.slice"
        || segment.starts_with("lxc")
        || segment.ends_with(".service")
        || segment.ends_with(".scope")
}

fn id_in(segment: &str) -> Option<&str> {
    let name = segment.strip_suffix(".scope").unwrap_or(segment);
    // The monitor of a container is beside it, in a group that has the container's name too.
    if name.contains("conmon") {
        return None;
    }
    let last = name.rsplit('-').next().unwrap_or(name);
    if is_hex(last, 64) {
        return Some(last);
    }
    let (first, number) = name.split_once('-')?;
    let is_number = number.len() == 10 && number.bytes().all(|byte| byte.is_ascii_digit());
    (is_hex(first, 32) && is_number).then_some(name)
}

fn is_hex(text: &str, len: usize) -> bool {
    text.len() == len && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "53c1a26f3e1cd9d1ad0d2bd5f8f1c0f7a4f2d4a2a9f9ab5fbb7c7f6d0e1a2b3c";

    #[test]
    fn every_engines_group_gives_the_id() {
        for group in [
            format!("0::/system.slice/docker-{ID}.scope\n"),
            format!("12:devices:/docker/{ID}\n11:cpu:/docker/{ID}\n0::/\n"),
            format!("0::/kubepods.slice/kubepods-pod12_34.slice/cri-containerd-{ID}.scope\n"),
            format!("1:name=systemd:/kubepods/besteffort/podab-cd/{ID}\n"),
            format!("0::/kubepods.slice/kubepods-pod12.slice/crio-{ID}.scope\n"),
            format!("0::/machine.slice/libpod-{ID}.scope/container\n"),
            format!("0::/../{ID}\n"),
        ] {
            assert_eq!(Named { id: ID, is_certain: true }, named(&group), "{group}");
        }
        assert_eq!(
            "cd189a933e5849daa93386466019ab50-2495160603",
            named(
                "9:memory:/ecs/158d1c8083dd49d6b527399fd6414f5c/cd189a933e5849daa93386466019ab50-2495160603\n"
            )
            .id
        );
    }

    #[test]
    fn groups_that_a_container_or_a_user_made_name_no_other_container() {
        let other = ID.replace('5', "a");
        for (group, certain) in [
            (format!("0::/system.slice/docker-{ID}.scope/docker-{other}.scope\n"), true),
            (format!("0::/kubepods/besteffort/podab-cd/{ID}/{other}\n"), true),
            (format!("0::/user.slice/user-1000.slice/user@1000.service/nerdctl-{ID}.scope"), false),
            (format!("0::/system.slice/job.service/docker-{ID}.scope\n"), false),
            (format!("0::/lxc.payload.c1/docker/{ID}\n"), false),
            (format!("0::/machine.slice/machine-c1.scope/payload/docker-{ID}.scope\n"), false),
        ] {
            assert_eq!(Named { id: ID, is_certain: certain }, named(&group), "{group}");
        }
    }

    #[test]
    fn processes_outside_of_containers_have_none() {
        for group in [
            "",
            "0::/\n",
            "0::/user.slice/user-0.slice/session-1.scope\n",
            "0::/system.slice/ssh.service\n",
            "rubbish",
            "0::/docker/53c1a26f3e1c\n",
        ] {
            assert_eq!("", named(group).id, "{group}");
        }
        assert_eq!("", named(&format!("0::/machine.slice/libpod-conmon-{ID}.scope\n")).id);
        assert_eq!("", named(&format!("0::/docker/{}\n", ID.to_uppercase())).id);
    }
}
