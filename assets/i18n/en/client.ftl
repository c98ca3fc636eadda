# The application
app-title = Zero-Carbon Park Twin
app-connecting = Connecting
waiting-for-data = Waiting for data…
view-all = Whole park
close = Close
language-other = 中文
account = Account
account-sign-out = Sign out
role-viewer = Viewer: looks
role-operator = Operator: commands, plans, acknowledges
role-admin = Administrator
columns-left = Show or hide the left column
columns-right = Show or hide the right column

# The link to the server
link-live = Live
link-lost = Link lost
link-lost-banner = Link lost, reconnecting: nothing below is newer
link-logged-out = Not logged in
link-round-trip = Round trip { $ms } ms
devices-online = Devices online

# Ages
age-seconds = { $n } s ago
age-minutes = { $n } min ago
age-hours = { $n } h ago
age-days = { $n } d ago

# Where a number comes from
provenance-measured = measured
provenance-estimated = estimated
provenance-simulated = simulated
provenance-forecast = forecast
provenance-measured-hint = Measured by devices in the field
provenance-estimated-hint = Estimated from other values
provenance-simulated-hint = From simulated devices: nothing here was measured
provenance-forecast-hint = A forecast, or rests on one
quality-out-of-range = out of range
quality-out-of-range-hint = Stored, but outside the plausible range { $range }
about-as-of = As of { $time }, park time

# Power now
balance-title = Power balance now
balance-supply = Supply
balance-demand = Demand
balance-pv = PV
balance-wind = Wind
balance-import = Grid import
balance-export = Grid export
balance-discharge = Discharging
balance-charge = Charging
balance-load = Load
balance-charging = EV chargers
balance-losses = Losses
balance-unmeasured = Unaccounted

# Today
today-title = Today so far
today-self-sufficiency = Self-sufficiency
today-self-sufficiency-hint = 1 − import ÷ (load + EV chargers + storage losses), since 00:00. Energy from the grid counts as import, also when it goes through storage.
today-cost = Energy cost
today-cost-hint = Import at its tariff minus feed-in, since 00:00, without the demand charge
today-emissions = CO₂e
today-emissions-hint = Grid import × emission factor, since 00:00
today-ledger-hint = Import + PV + wind + discharging = load + EV chargers + charging + export + losses, since 00:00, from quarter-hour means. Losses are what is left: cables, transformers and what nobody measures.
curves-title = Today's curves
curves-storage = Storage
curves-grid = Grid
curves-forecast = forecast and plan

# Storage
storage-title = Storage
storage-charging = charging
storage-discharging = discharging
storage-idle = idle
storage-more = and { $n } more: search for them

# Tariff
tariff-title = Tariff
tariff-example = example
tariff-example-hint = Made-up prices to try things with, not a contract
tariff-until = until { $time }
band-critical = Critical
band-peak = Peak
band-flat = Flat
band-valley = Valley

# Carbon clock
carbon-title = Carbon clock
carbon-now = Emitting now
carbon-now-hint = Present grid import × emission factor
carbon-accounted-at = Accounted at { $factor } g/kWh
carbon-forecast = forecast
carbon-hourly-stand-in = hours: stand-in
carbon-hourly-hint = How it varies by the hour is borrowed from another grid's year (a stand-in); accounts use the factor itself.
carbon-location-based = location-based
carbon-market-based = market-based
carbon-year = factor of { $year }
carbon-source = source: { $source }
carbon-source-chinese = source (Chinese): { $source }
carbon-sure-verified = Verified against the official publication
carbon-sure-reported = As reported by public secondary sources
carbon-sure-conflicting = Sources contradict each other
carbon-sure-memory = Not checked against a source

# Plan
plan-title = Dispatch plan
plan-none = No plan yet
plan-now = Plan now
plan-optimal = proven optimal
plan-feasible = feasible, not proven optimal
plan-infeasible = no feasible plan
plan-infeasible-hint = Devices keep their last safe set-point
plan-solved-in = Solved in { $ms } ms
plan-gap = gap { $gap } %
plan-gap-hint = How far the cost may be from the best possible
plan-saving = expected saving, next 24 h ({ $share } %)
plan-same = This plan costs the same as no dispatch
plan-costs-more = more than without dispatch, next 24 h
plan-saving-hint = Next 24 h: ¥{ $cost } with this plan, ¥{ $baseline } with storage idle and cars charging on arrival
plan-actual = actual
plan-planned = plan

# One device
device-show = Show
device-online = online
device-offline = offline
device-unknown = unknown
device-last-hour = last hour
device-no-value = No value has arrived yet
device-chart-failed = The last hour could not be fetched
device-chart-not-refreshed = Not refreshed: older values shown
device-chart-empty = Nothing was measured in the last hour
device-plan = Planned power of this device
device-not-planned = Not planned: dispatch does not steer this device
device-last-command = Last command:
command-queued = queued
command-sent = sent
command-acknowledged = acknowledged
command-rejected = rejected
command-expired = expired

# Commanding a device
control-title = Command
control-power = Power
control-duration = Holds for
control-minutes = min
control-set = Set power…
control-release = Release…
control-confirm-power = Set { $device } to { $power } kW for { $minutes } min?
control-confirm-release = Let { $device } follow its own rule again?
control-plan-may-change = The next dispatch plan may send another set-point.
control-send = Send
control-cancel = Cancel
control-asking = Asking the server…
control-again = New command

# One building
building-size = { $floors } storeys
building-power = Power in all
building-counted = { $n } of { $m } devices counted
building-counted-hint = Devices that are offline or silent are not in the sum
building-devices = Devices
building-no-devices = No devices registered

# Alarms
alarms-title = Alarms
alarms-hint = An alarm clears by itself when its condition ends. Acknowledging only says that someone has seen it.
alarms-raised-at = Raised { $time }
alarms-cleared-at = Cleared { $time }
alarms-acknowledged-at = Acknowledged { $time } by { $who }
alarms-value = Value { $value }
severity-critical = Critical
severity-major = Major
severity-warning = Warning
severity-info = Info
alarms-open = { $n } to acknowledge
alarms-none = No alarms
alarms-acknowledge = Ack
alarms-cleared = cleared
alarms-park = Park

# Search
search-hint = Search ( / )
search-nothing = Nothing found

# The keyboard
keys-title = Keys and mouse
keys-search = search
keys-choose = choose a hit and go there
keys-close = close the search, this list or the selection
keys-language = other language
keys-columns = fold the left or right column
keys-quality = Data quality
keys-help = this list
keys-camera = The view of the park
keys-move = move
keys-turn = turn
keys-tilt = tilt
keys-zoom = closer, further
keys-fly = fly, and back to orbiting
keys-all = show the whole park
keys-selected = go to what is selected
keys-fast = three times as fast
keys-mouse-left = Left drag
keys-mouse-right = Right drag, Shift + left
keys-orbit = orbit; look around when flying
keys-pan = pan; the wheel zooms

# Who may ask for changes
rights-no-link = Not possible while the link is not live
rights-not-known-yet = The server has not said yet what this account may do
rights-only-looks = This account may look, not operate

# Refusals

# Login
login-title = Log in
login-user = User name
login-password = Password
login-submit = Log in

# Outcomes of what was asked
notice-acknowledge-done = Alarm acknowledged
notice-plan-done = A new plan is made
notice-command-done = Command submitted
notice-failed = Did not work: { $reason }
notice-busy = The link is busy, try again shortly

## world
view-light-of = Light of { $time }
view-flying = Flying · V to return
view-north = N
legend-title = Width shows power
legend-to-loads = towards loads
legend-to-grid = surplus towards the grid
sign-storage = Storage
sign-chargers = Chargers
sign-turbine = Turbine
sign-stack = Stack
card-planned-now = Planned now
card-devices = { $n } devices
card-some-offline = { $n } offline

## link
fault-server-unreachable = The server cannot be reached
fault-no-answer-in-time = No answer in time
fault-nothing-heard = Nothing heard from the server
fault-closed-by-the-server = The connection was closed
fault-unreadable-answer = The server's answer does not read
fault-server-busy = The server is busy, try again shortly
fault-server-failed = The server failed
fault-wrong-password = Wrong user name or password
fault-too-many-attempts = Too many failed logins, wait a little
fault-token-not-accepted = The token is not accepted (any more)
fault-login-is-over = The login is over, please log in again
fault-other-version = The server speaks another version
fault-not-allowed = Your role does not allow this
fault-not-logged-in = Not logged in
fault-refused = The server refused

# Data quality
quality-title = Data quality
quality-short = Data quality
quality-open-hint = How complete, timely and valid the data are (K)
quality-unanswered = The newest figures did not come: { $reason }
quality-today = Today
quality-days = Last seven days
quality-day = Day
quality-completeness = Complete
quality-timeliness = In time
quality-validity = Valid
quality-completeness-hint = Share of expected readings that came, by the device model's period
quality-timeliness-hint = Share that came within { $seconds } s
quality-validity-hint = Share nothing is said against: in range, no jump, not stuck, clock right
quality-reduced = reduced
quality-poor = poor
quality-received = Readings
quality-jumps = jumps
quality-stuck = stuck
quality-skewed = clock wrong
quality-late = late
quality-duplicates = duplicates
quality-refused = refused
quality-converted = unit converted
quality-backfilled = back-filled
quality-backfilled-hint = Handed in from before the device was first online: not counted as complete or in time
quality-mostly-backfilled = mostly back-filled
quality-devices = Devices that need someone today
quality-device = Device
quality-gap = Longest gap
quality-why = Seen
quality-minutes = { $n } min
quality-more = { $n } more
quality-all-in-order = The data of all devices are in order
quality-missing = data missing
quality-clock = clock off by { $seconds } s
quality-sources = Quantities with several sources
quality-suspect = doubtful
quality-suspect-hint = Stored, but doubtful: it jumped, it has not changed for long, or the device's clock is wrong
fusion-agreed = sources agree
fusion-alone = one source only
fusion-conflict = sources differ
fusion-stale = out of date
fusion-missing = no data
fusion-used = in use
fusion-sum = sum of { $n } meters
