# The application
app-title = Zero-Carbon Park Twin
app-connecting = Connecting
waiting-for-data = Waiting for data…
view-all = Whole park

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
quality-out-of-range = out of range

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
balance-unaccounted = Losses

# Today
today-title = Today so far
today-renewable = Renewables
today-import = Imported
today-load = Consumed
today-self-sufficiency = Self-sufficiency
today-cost = Energy cost
today-emissions = CO₂e
curves-title = Today's curves
curves-storage = Storage
curves-grid = Grid

# Storage
storage-title = Storage
storage-charging = charging
storage-discharging = discharging
storage-idle = idle

# Tariff
tariff-title = Tariff
tariff-example = example
band-critical = Critical
band-peak = Peak
band-flat = Flat
band-valley = Valley

# Carbon clock
carbon-title = Carbon clock
carbon-now = Emitting now
carbon-today = Today
carbon-forecast = hatched: forecast
carbon-location-based = location-based
carbon-market-based = market-based

# Plan
plan-title = Dispatch plan
plan-none = No plan yet
plan-now = Plan now
plan-saving = expected saving, next 24 h ({ $share } %)
plan-feasible = feasible, not proven optimal
plan-infeasible = No feasible plan: devices keep their last safe set-point
plan-measured = Grid, measured
plan-planned = Grid, planned

# One device
device-show = Show
device-online = online
device-offline = offline
device-unknown = unknown
device-last-hour = last hour
device-minutes-axis = minutes, 0 is now
device-plan = Planned power of this device
device-last-command = Last command:
command-queued = queued
command-sent = sent
command-acknowledged = acknowledged
command-rejected = rejected
command-expired = expired

# One building
building-size = { $floors } storeys
building-power = Power in all
building-devices = Devices
building-no-devices = No devices registered

# Alarms
alarms-title = Alarms
alarms-open = { $n } to acknowledge
alarms-none = No alarms
alarms-acknowledge = Ack
alarms-cleared = cleared
alarms-park = Park

# Search
search-hint = Search devices, buildings…

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
