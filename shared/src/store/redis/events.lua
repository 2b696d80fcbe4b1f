-- A page of events that ends at a number of events or with the event that brings it to a number of bytes.
-- KEYS: events of the job. ARGV: id of the event before the page, most events, most bytes.
local limit, max_bytes = tonumber(ARGV[2]), tonumber(ARGV[3])
local page, bytes, longest, step = {}, 0, 1, 4
local start = '(' .. ARGV[1] .. '-0'
while #page < limit and bytes < max_bytes do
  local some = redis.call('XRANGE', KEYS[1], start, '+', 'COUNT', math.min(step, limit - #page))
  if #some == 0 then break end
  for _, entry in ipairs(some) do
    if bytes >= max_bytes then break end
    local event = entry[2][2] or ''
    page[#page + 1] = event
    bytes = bytes + #event
    longest = math.max(longest, #event)
    start = '(' .. entry[1]
  end
  -- No more at a time than is likely to be wanted: what is read beyond the page is read for nothing.
  step = math.max(1, math.min(2 * step, 64, math.floor((max_bytes - bytes) / longest)))
end
return page
