//! The classes and activities of OCSF that events become, by the numbers of the published schema.

/// The version of the schema that every line follows, <https://schema.ocsf.io/1.7.0>.
///
/// A reader of a later 1.x takes it too. It is the oldest one that says how a process was launched
/// (`launch_type_id`).
pub const VERSION: &str = "1.7.0";

/// A class of events.
#[derive(Debug, PartialEq, Eq)]
pub struct Class {
    pub uid: u32,
    pub name: &'static str,
    pub category: (u32, &'static str),
}

/// Something that happens in a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Activity {
    pub class: &'static Class,
    pub id: u32,
    pub name: &'static str,
}

/// The activity that a class has no number for; its name says which it is.
pub const OTHER: u32 = 99;

const SYSTEM: (u32, &str) = (1, "System Activity");
const FINDINGS: (u32, &str) = (2, "Findings");
const NETWORK: (u32, &str) = (4, "Network Activity");
const APPLICATION: (u32, &str) = (6, "Application Activity");

pub const FILE: Class = Class { uid: 1001, name: "File System Activity", category: SYSTEM };
pub const EXTENSION: Class = Class { uid: 1002, name: "Kernel Extension Activity", category: SYSTEM };
pub const KERNEL: Class = Class { uid: 1003, name: "Kernel Activity", category: SYSTEM };
pub const MEMORY: Class = Class { uid: 1004, name: "Memory Activity", category: SYSTEM };
pub const MODULE: Class = Class { uid: 1005, name: "Module Activity", category: SYSTEM };
pub const PROCESS: Class = Class { uid: 1007, name: "Process Activity", category: SYSTEM };
pub const FINDING: Class = Class { uid: 2004, name: "Detection Finding", category: FINDINGS };
pub const CONNECTION: Class = Class { uid: 4001, name: "Network Activity", category: NETWORK };
pub const DNS: Class = Class { uid: 4003, name: "DNS Activity", category: NETWORK };
pub const LIFECYCLE: Class = Class { uid: 6002, name: "Application Lifecycle", category: APPLICATION };

impl Class {
    /// An activity of the class.
    pub const fn does(&'static self, id: u32, name: &'static str) -> Activity {
        Activity { class: self, id, name }
    }

    /// An activity that the class has no number for.
    pub const fn other(&'static self, name: &'static str) -> Activity {
        self.does(OTHER, name)
    }
}

impl Activity {
    /// The number of class and activity together.
    pub fn type_uid(&self) -> u32 {
        self.class.uid * 100 + self.id
    }

    /// The members of a line that say which activity it is, each with a comma before it.
    pub fn members(&self) -> String {
        let Self { class: Class { uid, name: class, category: (category, category_name) }, id, name } = self;
        format!(
            ",\"category_uid\":{category},\"category_name\":\"{category_name}\",\"class_uid\":{uid},\
             \"class_name\":\"{class}\",\"activity_id\":{id},\"activity_name\":\"{name}\",\"type_uid\":{}",
            self.type_uid()
        )
    }
}
