//! What rules must decide of each action.

use super::Set;
use crate::falco::Place;

/// An action, and what rules must decide.
#[derive(Clone, Copy, Debug)]
pub struct Action {
    /// Its name, as the generator has it.
    pub name: &'static str,
    /// Where it is made.
    pub at: Place,
    /// It is one of the 66 of the public list's last version; the others are of earlier ones.
    pub is_listed: bool,
    /// What must be decided with Falco's rules.
    pub decision: Decision,
    /// The rule of glassbox's own that fires too; empty for none.
    pub own: &'static str,
}

/// What must be decided of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// This rule of this set fires.
    Fires(Set, &'static str),
    /// No rule fires, for this reason.
    Silent(&'static str),
    /// This rule of this set should fire, and cannot at `--notify security`, for this reason.
    Unseen(Set, &'static str, &'static str),
}

const STABLE: Set = Set::Falco(0);
const INCUBATING: Set = Set::Falco(1);
const SANDBOX: Set = Set::Falco(2);

impl Action {
    /// The rule of a set that should fire.
    pub fn rule_of(&self, set: Set) -> Option<&'static str> {
        match self.decision {
            Decision::Fires(of, rule) | Decision::Unseen(of, rule, _) if of == set => Some(rule),
            _ => None,
        }
    }

    const fn new(name: &'static str, decision: Decision) -> Self {
        Self { name, at: Place::Host, is_listed: true, decision, own: "" }
    }

    const fn fires(name: &'static str, set: Set, rule: &'static str) -> Self {
        Self::new(name, Decision::Fires(set, rule))
    }

    const fn silent(name: &'static str, why: &'static str) -> Self {
        Self::new(name, Decision::Silent(why))
    }

    /// The same, which the level cannot see.
    const fn unseen(mut self, why: &'static str) -> Self {
        if let Decision::Fires(set, rule) = self.decision {
            self.decision = Decision::Unseen(set, rule, why);
        }
        self
    }

    const fn in_container(mut self) -> Self {
        self.at = Place::Container;
        self
    }

    const fn not_listed(mut self) -> Self {
        self.is_listed = false;
        self
    }

    /// The same, at which this rule of glassbox's own fires.
    const fn own(mut self, rule: &'static str) -> Self {
        self.own = rule;
        self
    }
}

/// Why an action is [`Decision::Unseen`].
const READS: &str = "an open for reading decides, which only the level full asks about";

/// All actions, in the order of their names.
pub const ACTIONS: &[Action] = &[
    Action::fires("AddingSshKeysToAuthorizedKeys", INCUBATING, "Adding ssh keys to authorized_keys")
        .own("Keys for logins written"),
    Action::fires(
        "ChangeNamespacePrivilegesViaUnshare",
        INCUBATING,
        "Change namespace privileges via unshare",
    )
    .in_container(),
    Action::fires("ChangeThreadNamespace", INCUBATING, "Change thread namespace"),
    Action::fires("ClearLogActivities", STABLE, "Clear Log Activities"),
    Action::fires(
        "ContactCloudMetadataServiceFromContainer",
        INCUBATING,
        "Contact EC2 Instance Metadata Service From Container",
    )
    .in_container()
    .not_listed(),
    Action::fires(
        "ContactEC2InstanceMetadataServiceFromContainer",
        INCUBATING,
        "Contact EC2 Instance Metadata Service From Container",
    )
    .in_container(),
    Action::fires("ContainerDriftDetectedChmod", SANDBOX, "Container Drift Detected (chmod)").in_container(),
    Action::fires("ContainerDriftDetectedOpenCreate", SANDBOX, "Container Drift Detected (open+create)")
        .in_container(),
    Action::fires("CreateFilesBelowDev", INCUBATING, "Create files below dev"),
    Action::fires("CreateHardlinkOverSensitiveFiles", STABLE, "Create Hardlink Over Sensitive Files"),
    Action::fires("CreateHiddenFilesOrDirectories", SANDBOX, "Create Hidden Files or Directories"),
    Action::fires("CreateSymlinkOverSensitiveFiles", STABLE, "Create Symlink Over Sensitive Files"),
    Action::fires("DbProgramSpawnedProcess", INCUBATING, "DB program spawned process"),
    Action::fires("DecodingPayloadInContainer", SANDBOX, "Decoding Payload in Container").in_container(),
    Action::fires("DeleteOrRenameShellHistory", INCUBATING, "Delete or rename shell history"),
    Action::fires(
        "DetectCryptoMinersUsingTheStratumProtocol",
        SANDBOX,
        "Detect crypto miners using the Stratum protocol",
    )
    .own("Miner started"),
    Action::fires(
        "DetectOutboundConnectionsToCommonMinerPoolPorts",
        SANDBOX,
        "Detect outbound connections to common miner pool ports",
    )
    .not_listed()
    .unseen("the rule names hosts, and the program resolves names itself"),
    Action::fires(
        "DetectReleaseAgentFileContainerEscapes",
        STABLE,
        "Detect release_agent File Container Escapes",
    )
    .in_container(),
    Action::fires("DirectoryTraversalMonitoredFileRead", STABLE, "Directory traversal monitored file read")
        .unseen(READS),
    Action::fires(
        "DisallowedSSHConnectionNonStandardPort",
        STABLE,
        "Disallowed SSH Connection Non Standard Port",
    ),
    Action::fires("DropAndExecuteNewBinaryInContainer", STABLE, "Drop and execute new binary in container")
        .in_container(),
    Action::fires("ExecutionFromDevShm", STABLE, "Execution from /dev/shm").own("Dropped and executed"),
    Action::fires(
        "ExfiltratingArtifactsViaKubernetesControlPlane",
        INCUBATING,
        "Exfiltrating Artifacts via Kubernetes Control Plane",
    )
    .not_listed()
    .unseen("a tar in the cluster that kubectl starts decides"),
    Action::fires("FilelessExecutionViaMemfdCreate", STABLE, "Fileless execution via memfd_create")
        .own("Executed from memory"),
    Action::fires("FindAwsCredentials", STABLE, "Find AWS Credentials"),
    Action::fires(
        "InterpretedProcsInboundNetworkActivity",
        SANDBOX,
        "Interpreted procs inbound network activity",
    ),
    Action::silent(
        "InterpretedProcsOutboundNetworkActivity",
        "the connection is to loopback, which the rule leaves out",
    ),
    Action::fires("JavaProcessClassFileDownload", SANDBOX, "Java Process Class File Download")
        .unseen("recvfrom(2) decides, and the bytes that it gives"),
    Action::fires(
        "KubernetesClientToolLaunchedInContainer",
        SANDBOX,
        "Kubernetes Client Tool Launched in Container",
    )
    .in_container(),
    Action::fires("LaunchDebugfsInPrivilegedContainer", STABLE, "Debugfs Launched in Privileged Container")
        .in_container(),
    Action::fires(
        "LaunchIngressRemoteFileCopyToolsInContainer",
        INCUBATING,
        "Launch Ingress Remote File Copy Tools in Container",
    )
    .in_container(),
    Action::fires(
        "LaunchPackageManagementProcessInContainer",
        INCUBATING,
        "Launch Package Management Process in Container",
    )
    .in_container(),
    Action::fires(
        "LaunchRemoteFileCopyToolsInContainer",
        INCUBATING,
        "Launch Remote File Copy Tools in Container",
    )
    .in_container(),
    Action::fires(
        "LaunchSuspiciousNetworkToolInContainer",
        INCUBATING,
        "Launch Suspicious Network Tool in Container",
    )
    .in_container(),
    Action::fires("LaunchSuspiciousNetworkToolOnHost", INCUBATING, "Launch Suspicious Network Tool on Host"),
    Action::fires("LinuxKernelModuleInjection", STABLE, "Linux Kernel Module Injection Detected")
        .in_container()
        .not_listed()
        .own("Kernel module loaded"),
    Action::fires("MkdirBinaryDirs", SANDBOX, "Mkdir binary dirs"),
    Action::fires("ModifyBinaryDirs", SANDBOX, "Modify binary dirs"),
    Action::fires("ModifyContainerEntrypoint", SANDBOX, "Modify Container Entrypoint").in_container(),
    Action::fires("ModifyShellConfigurationFile", INCUBATING, "Modify Shell Configuration File")
        .own("Start-up file of a shell written"),
    Action::fires("MountLaunchedInPrivilegedContainer", INCUBATING, "Mount Launched in Privileged Container")
        .in_container(),
    Action::fires(
        "NetcatRemoteCodeExecutionInContainer",
        STABLE,
        "Netcat Remote Code Execution in Container",
    )
    .in_container()
    .own("Netcat runs a program"),
    Action::fires("NonSudoSetuid", INCUBATING, "Non sudo setuid"),
    Action::fires("PacketSocketCreatedInContainer", STABLE, "Packet socket created in container")
        .in_container(),
    Action::fires(
        "PolkitLocalPrivilegeEscalation",
        SANDBOX,
        "Polkit Local Privilege Escalation Vulnerability (CVE-2021-4034)",
    ),
    Action::fires(
        "PotentialLocalPrivilegeEscalationViaEnvironmentVariablesMisuse",
        INCUBATING,
        "Potential Local Privilege Escalation via Environment Variables Misuse",
    ),
    Action::fires(
        "ProgramRunWithDisallowedHttpProxyEnv",
        INCUBATING,
        "Program run with disallowed http proxy env",
    ),
    Action::fires("PtraceAntiDebugAttempt", STABLE, "PTRACE anti-debug attempt"),
    Action::fires("PtraceAttachedToProcess", STABLE, "PTRACE attached to process")
        .own("Another process written into"),
    Action::fires(
        "ReadEnvironmentVariableFromProcFiles",
        INCUBATING,
        "Read environment variable from /proc files",
    )
    .in_container(),
    Action::fires(
        "ReadSensitiveFileTrustedAfterStartup",
        STABLE,
        "Read sensitive file trusted after startup",
    )
    .unseen(READS),
    Action::fires("ReadSensitiveFileUntrusted", STABLE, "Read sensitive file untrusted").unseen(READS),
    Action::fires("ReadShellConfigurationFile", SANDBOX, "Read Shell Configuration File").unseen(READS),
    Action::fires("ReadSshInformation", INCUBATING, "Read ssh information").unseen(READS),
    Action::fires(
        "RedirectStdoutStdinToNetworkConnection",
        STABLE,
        "Redirect STDOUT/STDIN to Network Connection in Container",
    )
    .in_container()
    .not_listed()
    .unseen("dup3(2) decides, which no level asks about"),
    Action::fires("RemoveBulkDataFromDisk", STABLE, "Remove Bulk Data from Disk"),
    Action::fires("RunShellUntrusted", STABLE, "Run shell untrusted"),
    Action::fires("ScheduleCronJobs", INCUBATING, "Schedule Cron Jobs"),
    Action::fires("SearchPrivateKeysOrPasswords", STABLE, "Search Private Keys or Passwords"),
    Action::fires("SetSetuidOrSetgidBit", INCUBATING, "Set Setuid or Setgid bit")
        .own("Program given its owner's rights"),
    Action::fires("SudoPotentialPrivilegeEscalation", SANDBOX, "Sudo Potential Privilege Escalation"),
    Action::fires("SystemProcsNetworkActivity", INCUBATING, "System procs network activity"),
    Action::fires("SystemUserInteractive", STABLE, "System user interactive"),
    Action::fires("UnexpectedK8sNodePortConnection", SANDBOX, "Unexpected K8s NodePort Connection")
        .in_container()
        .not_listed(),
    Action::silent("UnexpectedUDPTraffic", "no datagram leaves loopback, which the rule leaves out"),
    Action::fires(
        "UnprivilegedDelegationOfPageFaultsHandling",
        SANDBOX,
        "Unprivileged Delegation of Page Faults Handling to a Userspace Process",
    ),
    Action::fires("UpdatePackageRepository", SANDBOX, "Update Package Repository").not_listed(),
    Action::fires("UserMgmtBinaries", INCUBATING, "User mgmt binaries"),
    Action::fires("WriteBelowBinaryDir", SANDBOX, "Write below binary dir"),
    Action::fires("WriteBelowEtc", SANDBOX, "Write below etc"),
    Action::fires("WriteBelowMonitoredDir", SANDBOX, "Write below monitored dir"),
    Action::fires("WriteBelowRoot", SANDBOX, "Write below root"),
    Action::fires("WriteBelowRpmDatabase", SANDBOX, "Write below rpm database"),
];
