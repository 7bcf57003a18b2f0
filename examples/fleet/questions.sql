-- How many events did each machine send, and when was the last?
SELECT node, count(), toDateTime(max(intDiv(time, 1000000000))) FROM seen FINAL GROUP BY node ORDER BY node;
-- Which programs ran where, how often?
SELECT exe, groupUniqArray(node), count() FROM seen FINAL WHERE event = 'process.start' GROUP BY exe ORDER BY count() DESC LIMIT 50;
-- Which programs ran on one machine alone?
SELECT exe, any(node) FROM seen FINAL WHERE event = 'process.start' GROUP BY exe HAVING uniqExact(node) = 1 ORDER BY exe;
-- Who opened a file of secrets?
SELECT time, node, pid, exe, path, error FROM seen FINAL WHERE event = 'file.open' AND path = '/etc/shadow' ORDER BY time LIMIT 100;
-- What did the processes of this name do, in order?
SELECT time, node, pid, event, path, remote, error FROM seen FINAL WHERE exe LIKE '%/python3%' ORDER BY node, pid, time LIMIT 1000;
-- Which files were written, by which programs?
SELECT path, groupUniqArray(exe), sum(bytes_written) FROM seen FINAL WHERE event = 'file.close' AND bytes_written > 0 GROUP BY path ORDER BY path LIMIT 100;
-- Which addresses were connected to, from which machines?
SELECT remote, groupUniqArray(node), groupUniqArray(exe), count() FROM seen FINAL WHERE event = 'net.connect' GROUP BY remote ORDER BY count();
-- Which programs were written and then started?
SELECT DISTINCT node, path FROM seen FINAL WHERE event = 'process.start' AND path IN (SELECT path FROM seen WHERE event IN ('file.open', 'file.chmod') AND (has(flags, 'O_CREAT') OR event = 'file.chmod')) ORDER BY node, path;
-- What did a process start, and these in turn?
SELECT node, ppid, groupArray(exe) FROM seen FINAL WHERE event = 'process.start' GROUP BY node, ppid ORDER BY node, ppid LIMIT 100;
-- Where did calls fail with a lack of permission, or of a file?
SELECT exe, error, count() FROM seen FINAL WHERE error IN ('EACCES', 'EPERM', 'ENOENT') GROUP BY exe, error ORDER BY count() DESC LIMIT 20;
-- Which events came in each second of each machine?
SELECT node, toDateTime(intDiv(time, 1000000000)) AS second, count() FROM seen FINAL GROUP BY node, second ORDER BY node, second;
-- What was lost, and why?
SELECT node, reason, sum(count) FROM seen FINAL WHERE event = 'sensor.loss' GROUP BY node, reason ORDER BY node;
-- What ended by a signal, or with a failure?
SELECT node, pid, exe, code, signal FROM seen FINAL WHERE event = 'process.exit' AND (code != 0 OR signal != 0) ORDER BY time LIMIT 100;
-- Which alerts were there, how urgent?
SELECT rule, priority, uniqExact(id), groupUniqArray(node) FROM seen_alerts GROUP BY rule, priority ORDER BY rule;
