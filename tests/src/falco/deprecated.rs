//! Falco's deprecated rules (`falco-deprecated_rules.yaml`), in the order of the file.

use super::Row;

/// What the rules leave to their user: addresses that programs may connect to, addresses of attackers, and
/// what a container may do.
pub const TUNING: &str = "\
- list: allowed_outbound_destination_ipaddrs
  items: ['\"203.0.113.8\"']
  override: {items: append}
- list: allowed_image
  items: [registry.example/shop/web]
  override: {items: append}
- list: authorized_server_port
  items: [80]
  override: {items: append}
- list: c2_server_ip_list
  items: ['\"203.0.113.8\"']
  override: {items: append}
";

/// The rules.
pub const ROWS: &[Row] = &[
    Row::fires("Disallowed SSH Connection", "Python connects to port 22", "meet 203.0.113.7 22")
        .but_not("to port 222", "meet 203.0.113.7 222"),
    Row::fires(
        "Unexpected outbound connection destination",
        "Python connects to 203.0.113.7",
        "meet 203.0.113.7 7000",
    )
    .but_not("to an address that may be connected to", "meet 203.0.113.8 7000"),
    Row::fires(
        "Outbound or Inbound Traffic not to Authorized Server Process and Port",
        "Python connects to port 8080 from a container of an image that `allowed_image` names",
        "meet 203.0.113.8 8080",
    )
    .but_not("to port 80, which `authorized_server_port` names", "meet 203.0.113.8 80")
    .in_container()
    .where_known("the image"),
    Row::fires(
        "Outbound Connection to C2 Servers",
        "Python connects to an address that `c2_server_ip_list` names",
        "meet 203.0.113.8 7000",
    )
    .but_not("to another one", "meet 127.0.0.1 7000"),
];
