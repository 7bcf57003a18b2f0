//! Reads a container's id from the name of its control group, where container engines put it.

/// The id of the container whose control group `text`, a /proc/PID/cgroup, names; `None` for a process
/// outside of one.
///
/// Engines name a group after the container's 64 hexadecimal digits: alone (`/docker/ID`, `/kubepods/…/ID`),
/// or between the engine's name and `.scope` (`docker-ID.scope`, `cri-containerd-ID.scope`, `crio-ID.scope`,
/// `libpod-ID.scope`). On Fargate it is 32 of them, and a number of ten digits: `/ecs/TASK/ID`.
pub fn id(text: &str) -> Option<&str> {
    let paths = text.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    paths.flat_map(|path| path.rsplit('/')).find_map(id_in)
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
            format!("0::/user.slice/user-1000.slice/user@1000.service/nerdctl-{ID}.scope"),
        ] {
            assert_eq!(Some(ID), id(&group), "{group}");
        }
        assert_eq!(
            Some("cd189a933e5849daa93386466019ab50-2495160603"),
            id(
                "9:memory:/ecs/158d1c8083dd49d6b527399fd6414f5c/cd189a933e5849daa93386466019ab50-2495160603\n"
            )
        );
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
            assert_eq!(None, id(group), "{group}");
        }
        assert_eq!(None, id(&format!("0::/machine.slice/libpod-conmon-{ID}.scope\n")));
        assert_eq!(None, id(&format!("0::/docker/{}\n", ID.to_uppercase())));
    }
}
