-- wrk: the same request over and over.
--   wrk ... -s plain.lua URL -- METHOD [BODY]
function init(args)
    wrk.method = args[1]
    wrk.body = args[2]
    wrk.headers["Content-Type"] = "application/json"
    request_text = wrk.format()
end

function request() return request_text end

function done(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format('{"requests":%d,"seconds":%.6f,"bad":%d}\n', summary.requests, summary.duration / 1e6,
        errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
