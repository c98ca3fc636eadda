# The application
app-title = 零碳园区孪生
app-connecting = 正在连接
waiting-for-data = 等待数据…
view-all = 全景

# The link to the server
link-live = 实时
link-lost = 连接中断
link-lost-banner = 连接已中断，正在重连，画面不再更新
link-logged-out = 未登录
link-round-trip = 往返 { $ms } 毫秒
devices-online = 在线设备

# Ages
age-seconds = { $n } 秒前
age-minutes = { $n } 分钟前
age-hours = { $n } 小时前
age-days = { $n } 天前

# Where a number comes from
provenance-measured = 实测
provenance-estimated = 估算
provenance-simulated = 模拟
provenance-forecast = 预测
quality-out-of-range = 越限

# Power now
balance-title = 实时功率平衡
balance-supply = 来源
balance-demand = 去向
balance-pv = 光伏
balance-wind = 风电
balance-import = 电网购电
balance-export = 上网
balance-discharge = 储能放电
balance-charge = 储能充电
balance-load = 用电负荷
balance-charging = 充电桩
balance-unaccounted = 损耗与未计量

# Today
today-title = 今日累计
today-renewable = 绿电发电
today-import = 电网购电
today-load = 用电量
today-self-sufficiency = 自给率
today-cost = 电费
today-emissions = 碳排放
curves-title = 今日曲线
curves-storage = 储能
curves-grid = 电网

# Storage
storage-title = 储能
storage-charging = 充电
storage-discharging = 放电
storage-idle = 静置

# Tariff
tariff-title = 分时电价
tariff-example = 示例电价
band-critical = 尖峰
band-peak = 高峰
band-flat = 平段
band-valley = 低谷

# Carbon clock
carbon-title = 碳时钟
carbon-now = 当前排放
carbon-today = 今日排放
carbon-forecast = 斜线为预测
carbon-location-based = 基于位置
carbon-market-based = 基于市场

# Plan
plan-title = 调度计划
plan-none = 尚无计划
plan-now = 立即规划
plan-saving = 未来 24 小时预计节省（{ $share } %）
plan-feasible = 可行，未证明最优
plan-infeasible = 无可行方案，设备保持上次安全设定
plan-measured = 实际购电
plan-planned = 计划购电

# One device
device-show = 定位
device-online = 在线
device-offline = 离线
device-unknown = 状态未知
device-last-hour = 最近 1 小时
device-minutes-axis = 分钟（0 为现在）
device-plan = 该设备的计划功率
device-last-command = 最近指令：
command-queued = 排队中
command-sent = 已下发
command-acknowledged = 已执行
command-rejected = 被拒绝
command-expired = 已过期

# One building
building-size = { $floors } 层
building-power = 总功率
building-devices = 楼内设备
building-no-devices = 没有登记设备

# Alarms
alarms-title = 告警
alarms-open = { $n } 条待确认
alarms-none = 没有告警
alarms-acknowledge = 确认
alarms-cleared = 已恢复
alarms-park = 园区

# Search
search-hint = 搜索设备或建筑…

# Login
login-title = 登录
login-user = 用户名
login-password = 密码
login-submit = 登录

# Outcomes of what was asked
notice-acknowledge-done = 告警已确认
notice-plan-done = 已生成新计划
notice-command-done = 指令已提交
notice-failed = 未成功：{ $reason }
notice-busy = 连接繁忙，请稍后再试

## link
fault-server-unreachable = 无法连接服务器
fault-no-answer-in-time = 服务器未及时应答
fault-nothing-heard = 收不到服务器的消息
fault-closed-by-the-server = 连接已断开
fault-unreadable-answer = 服务器的应答无法解读
fault-server-busy = 服务器繁忙，请稍后再试
fault-server-failed = 服务器出错
fault-wrong-password = 用户名或密码错误
fault-too-many-attempts = 登录失败次数过多，请稍候
fault-token-not-accepted = 令牌无效或已失效
fault-login-is-over = 登录已失效，请重新登录
fault-other-version = 与服务器的版本不一致
fault-not-allowed = 当前角色无权执行此操作
fault-not-logged-in = 未登录
fault-refused = 服务器拒绝了请求
