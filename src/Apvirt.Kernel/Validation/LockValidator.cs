using System.Diagnostics;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Kernel.Validation;

/// <summary>
/// Learns in which orders classes of locks are taken and reports orders that can deadlock, from runs that never did
/// (reference/lockdep.md). It counts classes, not instances; keeps on after a report; and reports every distinct cycle.
/// </summary>
/// <remarks>
/// A task folds each acquisition into a 64-bit key of its chain of held locks. A chain that was seen before costs one look
/// into a table; only a new one takes the gate and is compared with the graph. Nothing but leaf code runs under the gate.
/// </remarks>
public sealed class LockValidator
{
    private static readonly string OrderRule = ViolationLog.RuleOf(ViolationKind.CircularLocking);

    private readonly ViolationLog _violations;
    private readonly DeclaredOrder _order;
    private readonly LockValidatorOptions _options;

    // Guards all that follows; a leaf. The chain cache is also read without it.
    private readonly Lock _gate = new();
    private readonly LockGraph _graph;
    private readonly Dictionary<(string Outer, string Inner), string> _forbidden = [];
    private readonly Dictionary<ulong, string> _verified = [];
    private readonly HashSet<string> _reported = new(StringComparer.Ordinal);
    private long _acquisitions;
    private long _misses;
    private int _deepest;

    internal LockValidator(ViolationLog violations, DeclaredOrder order, LockValidatorOptions options)
    {
        _violations = violations;
        _order = order;
        _options = options;
        _graph = new LockGraph(order);
        foreach (OrderEdge edge in order.Forbidden)
            _forbidden.Add((edge.Outer, edge.Inner), edge.Where);
    }

    internal ChainCache Chains { get; } = new();

    internal bool VerifiesChains => _options.VerifiesChains;

    internal bool RequiresLifo => _options.RequiresLifo;

    /// <summary>What has been learnt: classes, orders, chains, and which declared orders never occurred.</summary>
    public LockStatistics Statistics()
    {
        lock (_gate)
            return new LockStatistics(_graph, _order, Chains.Count, Interlocked.Read(ref _acquisitions), _misses, _deepest);
    }

    /// <summary>Looks at an acquisition whose chain is new. The lock is not on the task's stack yet.</summary>
    internal void Look(KernelTask task, KernelLock taken, LockMode mode, LockSite site, bool isTry, ulong key)
    {
        TracedLock traced = new(taken.Class.Name, mode, site);
        LockTrace trace = new($"{task}", task.TraceHeld(), traced);
        lock (_gate)
        {
            _misses++;
            LockNode node = _graph.Node(taken.Class);
            node.Acquisitions++;
            _deepest = Math.Max(_deepest, task.Held.Length + 1);
            bool isSimple = isTry || CheckSameClass(task, taken, mode, trace);
            CheckWaitContext(task, taken, isTry, trace);
            if (!isTry)
                AddDependencies(task, taken, mode, node, trace);
            // Chains with two locks of a class are looked at each time, because the instances decide.
            if (isSimple && Chains.Count < _options.ChainsMax)
            {
                Chains.Add(key);
                if (VerifiesChains)
                    _verified[key] = ChainText(trace);
            }
        }
    }

    /// <summary>Compares a hit of the cache with the chain that the key was made for.</summary>
    internal void Verify(KernelTask task, KernelLock taken, LockMode mode, LockSite site, ulong key)
    {
        string now = ChainText(new LockTrace("", task.TraceHeld(), new TracedLock(taken.Class.Name, mode, site)));
        lock (_gate)
        {
            if (_verified.TryGetValue(key, out string? stored) && !string.Equals(stored, now, StringComparison.Ordinal))
                throw new InvalidOperationException($"two chains have one key: {stored} and {now}");
        }
    }

    internal void CountAcquisitions(long count) => Interlocked.Add(ref _acquisitions, count);

    private static string ChainText(LockTrace trace) =>
        string.Join(" -> ", trace.Held.Append(trace.Taken).Select(held => held.Class + held.Mode.Suffix()));

    private void CheckWaitContext(KernelTask task, KernelLock taken, bool isTry, LockTrace trace)
    {
        if (isTry || taken.Class.Kind is LockKind.Spin or LockKind.ActiveReference)
            return;
        foreach (HeldLock held in task.Held)
        {
            if (held.Lock.Class.Kind == LockKind.Spin)
                Report(ViolationKind.WaitContext, "invalid wait context", $"{taken.Class} is taken inside {held.Lock.Class}, which must not sleep", trace, [], FindingOf(task));
        }
    }

    // True if no lock of the same class is held.
    private bool CheckSameClass(KernelTask task, KernelLock taken, LockMode mode, LockTrace trace)
    {
        bool isAlone = true;
        foreach (HeldLock held in task.Held)
        {
            if (held.Lock.Class != taken.Class)
                continue;
            isAlone = false;
            bool readsAgain = mode == LockMode.RecursiveRead && held.Mode != LockMode.Write;
            bool isSame = ReferenceEquals(held.Lock, taken);
            if (readsAgain)
                continue;
            if (isSame || taken.Class.Nesting == LockNesting.None)
            {
                string what = isSame ? "the same lock" : "another lock of the class";
                Report(
                    ViolationKind.RecursiveLocking, "possible recursive locking detected",
                    $"{trace.Taken.Class}{mode.Suffix()} is taken while {what} is held as {held}", trace, [], FindingOf(task));
            }
            else if (held.Lock.Order >= taken.Order)
            {
                Report(
                    ViolationKind.NestingOrder, "possible recursive locking detected",
                    $"{taken.Class} number {taken.Order} is taken after number {held.Lock.Order}; expected ascending numbers", trace, [], FindingOf(task));
            }
        }
        return isAlone;
    }

    // For every held lock, not only the innermost: a recursive reader between two locks would hide what the outer one means.
    private void AddDependencies(KernelTask task, KernelLock taken, LockMode mode, LockNode node, LockTrace trace)
    {
        for (int i = 0; i < task.Held.Length; i++)
        {
            HeldLock held = task.Held[i];
            if (held.Lock.Class == taken.Class)
                continue;
            if (_forbidden.TryGetValue((held.Lock.Class.Name, taken.Class.Name), out string? why))
                Report(ViolationKind.ForbiddenOrder, "forbidden lock order", $"{taken.Class} is taken while {held.Lock.Class} is held: {why}", trace, [], FindingOf(task));
            LockEdge edge = _graph.Edge(_graph.Node(held.Lock.Class), node);
            Dependencies type = TypeOf(held.Mode, mode);
            bool isNew = edge.First is null || !edge.Types.HasAny(type);
            // Who takes the locks in this order without the deviation shows that the order is not due to it.
            if (edge.First is null)
                edge.Finding = FindingOf(task);
            else if (edge.Finding is not null && FindingOf(task) is null)
                edge.Finding = null;
            edge.First ??= trace with { Held = [.. trace.Held.Take(i + 1)] };
            if (!isNew)
                continue;
            edge.Types |= type;
            foreach (LockEdge[] cycle in _graph.CyclesThrough(edge, type, _options.CycleLengthMax))
                ReportCycle(cycle, trace);
        }
    }

    private static Dependencies TypeOf(LockMode held, LockMode taken) => (held == LockMode.Write, taken == LockMode.RecursiveRead) switch
    {
        (true, false) => Dependencies.ExclusiveToNormal,
        (true, true) => Dependencies.ExclusiveToRecursive,
        (false, false) => Dependencies.SharedToNormal,
        (false, true) => Dependencies.SharedToRecursive,
    };

    private void ReportCycle(LockEdge[] cycle, LockTrace trace)
    {
        List<LockLane> lanes = [];
        for (int i = 0; i < cycle.Length; i++)
        {
            // The first edge is the one that was just taken; the others by whoever took them first.
            LockTrace? seen = i == 0 ? trace : cycle[i].First;
            TracedLock holds = seen?.Held.LastOrDefault(held => string.Equals(held.Class, cycle[i].From.Name, StringComparison.Ordinal))
                ?? new TracedLock(cycle[i].From.Name, LockMode.Write, default);
            TracedLock wants = seen?.Taken ?? new TracedLock(cycle[i].To.Name, LockMode.Write, default);
            lanes.Add(new LockLane(seen?.Task, holds, wants, seen, cycle[i].Declared));
        }
        string order = string.Join(" -> ", lanes.Select(lane => lane.Holds.Class).Append(lanes[0].Holds.Class));
        bool isDeclared = cycle.Any(edge => edge.First is null);
        string summary = isDeclared ? $"{order} contradicts the declared order" : order;
        Report(ViolationKind.CircularLocking, "possible circular locking dependency detected", summary, trace, lanes,
            cycle.Select(edge => edge.Finding).FirstOrDefault(finding => finding is not null));
    }

    private void Report(ViolationKind kind, string title, string summary, LockTrace trace, IReadOnlyList<LockLane> lanes, string? finding)
    {
        LockReport report = new(title, trace, lanes, []);
        string identity = lanes.Count > 0 ? $"{kind} {string.Join(' ', report.Cycle)}" : $"{kind} {summary}";
        if (!_reported.Add(identity))
            return;
        report = report with { Stack = Calls() };
        _violations.Add(new Violation(kind, ViolationLog.RuleOf(kind), summary, trace.Task, LockReportText.Format(report)) { Locks = report, Finding = finding });
    }

    private static string? FindingOf(KernelTask task) => task.Checks!.FindingOf(task, OrderRule);

    // Only for a report: the calls that led here, as far as they belong to apvirt.
    private static List<string> Calls()
    {
        List<string> calls = [];
        foreach (StackFrame frame in new StackTrace(fNeedFileInfo: true).GetFrames())
        {
            if (frame.GetMethod() is not { DeclaringType: { } type } method || type.Namespace?.StartsWith("Apvirt.", StringComparison.Ordinal) != true)
                continue;
            // Whoever runs the task is no caller of its.
            if (type.Namespace == "Apvirt.Kernel.Runtime")
                break;
            if (type.Namespace is "Apvirt.Kernel.Validation" or "Apvirt.Kernel.Tasks" or "Apvirt.Kernel.Locking" or "Apvirt.Kernel.Waiting")
                continue;
            // The state machine of an async method is a type of its own, named after the method.
            string name = type.Name.StartsWith('<') && type.DeclaringType is { } outer
                ? $"{outer.Name}.{type.Name[1..type.Name.IndexOf('>', StringComparison.Ordinal)]}"
                : $"{type.Name}.{method.Name}";
            LockSite site = new(frame.GetFileName(), frame.GetFileLineNumber());
            calls.Add(site.File is null ? name : $"{name} ({site})");
        }
        return calls;
    }
}
