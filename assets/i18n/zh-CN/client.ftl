# The application
app-title = 零碳园区孪生
app-connecting = 正在连接
waiting-for-data = 等待数据…
view-all = 全景
close = 关闭
language-other = EN
account = 账户
account-sign-out = 退出登录
role-viewer = 观察员：仅查看
role-operator = 操作员：可下发指令、规划、确认告警
role-admin = 管理员
columns-left = 显示或隐藏左栏
columns-right = 显示或隐藏右栏

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
provenance-measured-hint = 由现场设备测得
provenance-estimated-hint = 由其他数值估算
provenance-simulated-hint = 来自模拟设备，并非实测
provenance-forecast-hint = 预测值，或以预测为依据
quality-out-of-range = 越限
quality-out-of-range-hint = 已保存，但超出合理范围 { $range }
about-as-of = 截至园区时间 { $time }

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
balance-losses = 损耗与未计量
balance-unmeasured = 未计量来源

# Today
today-title = 今日累计
today-self-sufficiency = 自给率
today-self-sufficiency-hint = 1 − 购电量 ÷（用电负荷 + 充电桩 + 储能损耗），自零点起。来自电网的电量即使经过储能也计为购电。
today-cost = 电费
today-cost-hint = 按分时电价计算的购电费减去上网收入，自零点起，不含需量电费
today-emissions = 碳排放
today-emissions-hint = 购电量 × 排放因子，自零点起
today-ledger-hint = 购电 + 光伏 + 风电 + 储能放电 = 用电负荷 + 充电桩 + 储能充电 + 上网 + 损耗，自零点起，按一刻钟均值计算。损耗为差额：线路、变压器以及没有计量的部分。
curves-title = 今日曲线
curves-storage = 储能
curves-grid = 电网
curves-forecast = 预测与计划

# Storage
storage-title = 储能
storage-charging = 充电
storage-discharging = 放电
storage-idle = 静置
storage-more = 另有 { $n } 台，可搜索查看

# Tariff
tariff-title = 分时电价
tariff-example = 示例电价
tariff-example-hint = 供试用的虚构电价，并非合同电价
tariff-until = 至 { $time }
band-critical = 尖峰
band-peak = 高峰
band-flat = 平段
band-valley = 低谷

# Carbon clock
carbon-title = 碳时钟
carbon-now = 当前排放
carbon-now-hint = 当前购电功率 × 排放因子
carbon-accounted-at = 核算因子 { $factor } g/kWh
carbon-forecast = 斜线为预测
carbon-hourly-stand-in = 小时形状为替代数据
carbon-hourly-hint = 逐小时的变化借自另一电网的年度序列（替代数据）；核算只用上面的因子。
carbon-location-based = 基于位置
carbon-market-based = 基于市场
carbon-year = { $year } 年因子
carbon-source = 来源：{ $source }
carbon-source-chinese = 来源：{ $source }
carbon-sure-verified = 已与官方发布核对
carbon-sure-reported = 引自公开的二手资料
carbon-sure-conflicting = 各来源不一致
carbon-sure-memory = 未与来源核对

# Plan
plan-title = 调度计划
plan-none = 尚无计划
plan-now = 立即规划
plan-optimal = 已证最优
plan-feasible = 可行，未证明最优
plan-infeasible = 无可行方案
plan-infeasible-hint = 设备保持上次安全设定
plan-solved-in = 求解用时 { $ms } 毫秒
plan-gap = 差距 { $gap } %
plan-gap-hint = 费用与可能的最优值最多相差多少
plan-saving = 未来 24 小时预计节省（{ $share } %）
plan-same = 本计划与不调度费用相同
plan-costs-more = 未来 24 小时比不调度多花
plan-saving-hint = 未来 24 小时：按本计划 ¥{ $cost }；储能静置、车辆到场即充 ¥{ $baseline }
plan-actual = 实际
plan-planned = 计划

# One device
device-show = 定位
device-online = 在线
device-offline = 离线
device-unknown = 状态未知
device-last-hour = 最近 1 小时
device-no-value = 尚未收到数值
device-chart-failed = 未能取得最近 1 小时的数据
device-chart-not-refreshed = 刷新失败，显示的是较早的数据
device-chart-empty = 最近 1 小时没有数据
device-plan = 该设备的计划功率
device-not-planned = 不参与调度
device-last-command = 最近指令：
command-queued = 排队中
command-sent = 已下发
command-acknowledged = 已执行
command-rejected = 被拒绝
command-expired = 已过期

# Commanding a device
control-title = 下发指令
control-power = 功率
control-duration = 持续
control-minutes = 分钟
control-set = 设定功率…
control-release = 恢复自主…
control-confirm-power = 将{ $device }设为 { $power } kW，持续 { $minutes } 分钟？
control-confirm-release = 让{ $device }恢复自主运行？
control-plan-may-change = 下一次调度计划可能会下发新的设定。
control-send = 下发
control-cancel = 取消
control-asking = 正在提交…
control-again = 新指令

# One building
building-size = { $floors } 层
building-power = 总功率
building-counted = 已计入 { $n } / { $m } 台设备
building-counted-hint = 离线或没有数据的设备不计入总和
building-devices = 楼内设备
building-no-devices = 没有登记设备

# Alarms
alarms-title = 告警
alarms-hint = 条件消失后告警自动恢复；确认只表示已有人知晓。
alarms-raised-at = 发生于 { $time }
alarms-cleared-at = 恢复于 { $time }
alarms-acknowledged-at = { $who } 于 { $time } 确认
alarms-value = 数值 { $value }
severity-critical = 紧急
severity-major = 重要
severity-warning = 警告
severity-info = 提示
alarms-open = { $n } 条待确认
alarms-none = 没有告警
alarms-acknowledge = 确认
alarms-cleared = 已恢复
alarms-park = 园区

# Search
search-hint = 搜索设备或建筑（/）
search-nothing = 没有找到

# The keyboard
keys-title = 按键与鼠标
keys-search = 搜索
keys-choose = 选择结果并定位
keys-close = 关闭搜索、本列表或所选对象
keys-language = 切换语言
keys-columns = 收起或展开左栏、右栏
keys-quality = 数据质量
keys-help = 本列表
keys-camera = 园区视角
keys-move = 移动
keys-turn = 转向
keys-tilt = 俯仰
keys-zoom = 拉近、拉远
keys-fly = 飞行模式，再按返回
keys-all = 显示整个园区
keys-selected = 移到所选对象
keys-fast = 三倍速度
keys-mouse-left = 左键拖动
keys-mouse-right = 右键拖动，Shift + 左键
keys-orbit = 环绕；飞行时环顾
keys-pan = 平移；滚轮缩放

# Who may ask for changes
rights-no-link = 连接未就绪，暂不可操作
rights-not-known-yet = 服务器尚未告知此账户的权限
rights-only-looks = 当前账户只能查看，不能操作

# Refusals

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

## world
view-light-of = 光照时刻 { $time }
view-flying = 飞行中 · 按 V 返回
view-north = 北
legend-title = 线宽表示功率
legend-to-loads = 流向负荷
legend-to-grid = 余电流向电网
sign-storage = 储能
sign-chargers = 充电桩
sign-turbine = 风机
sign-stack = 烟囱
card-planned-now = 当前计划
card-devices = { $n } 台设备
card-some-offline = { $n } 台离线

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

# Data quality
quality-title = 数据质量
quality-short = 数据质量
quality-open-hint = 数据的完整、及时与有效程度（K）
quality-unanswered = 未能取得最新结果：{ $reason }
quality-today = 今天
quality-days = 近七天
quality-day = 日期
quality-completeness = 完整率
quality-timeliness = 及时率
quality-validity = 有效率
quality-completeness-hint = 应到数据中已收到的比例，按设备模型的上报周期计
quality-timeliness-hint = 在 { $seconds } 秒内送达的比例
quality-validity-hint = 未被质疑的比例：不越限、不跳变、不停滞、时钟正确
quality-reduced = 偏低
quality-poor = 过低
quality-received = 已收数据
quality-jumps = 跳变
quality-stuck = 停滞
quality-skewed = 时钟偏差
quality-late = 迟到
quality-duplicates = 重复
quality-refused = 拒收
quality-converted = 单位换算
quality-backfilled = 补录
quality-backfilled-hint = 设备首次在线之前的数据，事后补录，不计入完整率和及时率
quality-mostly-backfilled = 多为补录
quality-devices = 今天需要关注的设备
quality-device = 设备
quality-gap = 最长中断
quality-why = 原因
quality-minutes = { $n } 分钟
quality-more = 另有 { $n } 台
quality-all-in-order = 所有设备的数据均正常
quality-missing = 数据缺失
quality-clock = 时钟偏 { $seconds } 秒
quality-sources = 多源数据
quality-suspect = 存疑
quality-suspect-hint = 已保存，但可疑：数值跳变、长时间不变，或设备时钟不准
fusion-agreed = 一致
fusion-alone = 仅一个来源
fusion-conflict = 来源不一致
fusion-stale = 已过时
fusion-missing = 无数据
fusion-used = 采用
fusion-sum = { $n } 块表之和
