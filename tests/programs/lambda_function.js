// A Lambda function that opens a file, connects on loopback and starts a child.
const fs = require("fs");
const net = require("net");
const { execFileSync } = require("child_process");

exports.handler = async (event) => {
  fs.writeFileSync(event.file, event.text);
  const greeting = await new Promise((resolve, reject) => {
    const connection = net.connect(Number(process.env.PEER), "127.0.0.1");
    let said = "";
    connection.on("data", (piece) => (said += piece));
    connection.on("end", () => resolve(said));
    connection.on("error", reject);
  });
  const child = execFileSync("/bin/echo", [event.text]).toString();
  return { greeting, child, read: fs.readFileSync(event.file).toString() };
};
