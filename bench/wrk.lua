-- wrk's figures as one line of JSON.
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '{"microseconds": %d, "requests": %d, "p50": %d, "p95": %d, "p99": %d, ' ..
    '"errors": {"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}}\n',
    summary.duration, summary.requests,
    latency:percentile(50), latency:percentile(95), latency:percentile(99),
    e.connect, e.read, e.write, e.status, e.timeout))
end
