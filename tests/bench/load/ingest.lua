-- wrk: POST events, one or a batch a request. 25 % each of health emergencies, energy over the threshold, transport
-- and security, every patient and neighborhood another one, every second request with a dedupe key.
--   wrk ... -s ingest.lua URL -- RUN EVENTS_PER_REQUEST MIX KEYED
-- RUN makes keys unique between runs; MIX is "all" or one service; KEYED is "half", "all" or "none".
local counter, thread_number, run, batch, mix, keyed = 0, 0, "", 1, "all", "half"
local services = { "health", "energy", "transport", "security" }
local threads = 0

function setup(thread)
    thread:set("thread_number", threads)
    threads = threads + 1
end

function init(args)
    run = args[1]
    batch = tonumber(args[2] or 1)
    mix = args[3] or "all"
    keyed = args[4] or "half"
    run_number = tonumber(run) or 0
end

local function body_of(service, n)
    if service == "health" then
        return '{"patient_id":' .. n .. ',"alert":"emergency","location":"ward ' .. n % 97 .. '"}'
    elseif service == "energy" then
        return '{"energy":' .. 501 + n % 400 .. '.5,"neighborhood":"district ' .. n .. '"}'
    elseif service == "transport" then
        return '{"bus_id":' .. n .. ',"lat":41.38' .. n % 1000 .. ',"lon":2.17' .. n % 1000 .. '}'
    end
    return '{"alert":true,"camera_trigger":"camera ' .. n .. '"}'
end

local headers = { ["Content-Type"] = "application/json" }

function request()
    counter = counter + 1
    local number = (run_number * 8 + thread_number) * 10000000 + counter * batch
    local service = mix == "all" and services[counter % 4 + 1] or mix
    local path = "/ingest/" .. service
    if keyed == "all" or (keyed == "half" and math.floor(counter / 4) % 2 == 0) then
        path = path .. "?dedupe_key=request-" .. number
    end
    if batch == 1 then return wrk.format("POST", path, headers, body_of(service, number)) end
    local parts = {}
    for i = 1, batch do parts[i] = body_of(service, number + i) end
    return wrk.format("POST", path, headers, "[" .. table.concat(parts, ",") .. "]")
end

function done(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format('{"requests":%d,"seconds":%.6f,"bad":%d,"p50_ms":%.3f,"p99_ms":%.3f}\n', summary.requests,
        summary.duration / 1e6, errors.connect + errors.read + errors.write + errors.status + errors.timeout,
        latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
