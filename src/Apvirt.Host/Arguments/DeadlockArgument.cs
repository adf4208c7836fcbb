using System.Globalization;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Validation;

namespace Apvirt.Host.Arguments;

/// <summary>On what a statement rests.</summary>
public enum Ground
{
    /// <summary>On the tables and the recorded acquisitions; it is checked each time.</summary>
    Checked,
    /// <summary>On the statements before it.</summary>
    Argued,
    /// <summary>On nothing here; it is what the argument assumes.</summary>
    Assumed,
}

/// <summary>A statement of the argument.</summary>
/// <param name="Claim">What it says.</param>
/// <param name="Ground">On what it rests.</param>
/// <param name="Evidence">What was looked at, or why it follows.</param>
/// <param name="Broken">Where it does not hold; empty if it does.</param>
public sealed record ArgumentStatement(string Claim, Ground Ground, string Evidence, IReadOnlyList<string> Broken);

/// <summary>
/// The argument that no number of guests, queues and administrators deadlocks (M135). Exploration shows it for few callers and every
/// order; this is about any number of callers and the orders of classes, which do not grow with them.
/// </summary>
public static class DeadlockArgument
{
    /// <summary>Makes the argument, and checks what can be checked.</summary>
    /// <param name="corpus">The recorded runs.</param>
    public static IReadOnlyList<ArgumentStatement> Of(ArgumentCorpus corpus)
    {
        LockStatistics learnt = corpus.Checks.Locks.Statistics();
        Violation[] violations = corpus.Checks.Violations.ToArray();
        Dictionary<string, HashSet<string>> below = Closure(Checks.LockOrder.Declared);
        LockOrderStatistics[] observed = [.. learnt.Orders.Where(order => order.IsObserved)];
        LockClassStatistics[] waits = [.. learnt.Classes.Where(c => c.Kind is LockKind.Wait or LockKind.ActiveReference)];
        return
        [
            new(
                "The declared order of lock classes has no cycle.", Ground.Checked,
                Number($"{Checks.LockOrder.Declared.Edges.Count} declared orders, all that they imply, and {Checks.LockOrder.Declared.Forbidden.Count} that are forbidden."),
                [.. below.Where(pair => pair.Value.Contains(pair.Key)).Select(pair => $"{pair.Key} comes before itself"),
                    .. Checks.LockOrder.Declared.Forbidden.Where(edge => below.GetValueOrDefault(edge.Outer)?.Contains(edge.Inner) == true).Select(edge => $"{edge.Outer} → {edge.Inner} is forbidden ({edge.Where}) and implied")]),
            new(
                "Whoever may wait for a lock holds only locks of classes that come before its class.", Ground.Checked,
                Number($"{learnt.Acquisitions} acquisitions in {learnt.Chains} different chains of held locks; {observed.Length} pairs of classes, at most {learnt.Deepest} locks held."),
                [.. observed.Where(order => below.GetValueOrDefault(order.Outer)?.Contains(order.Inner) != true).Select(Describe)]),
            new(
                "Two locks of one class are held at once only where they have numbers, and are taken in rising order of these.", Ground.Checked,
                "Each acquisition is looked at while it runs; the numbers decide, so that it does not matter how many locks a class has.",
                Reported(violations, ViolationKind.RecursiveLocking, ViolationKind.NestingOrder)),
            new(
                "Nobody sleeps in a spin section, and every lock is given back by whoever has it.", Ground.Checked,
                "Each acquisition, release and return to user space is looked at while it runs.",
                Reported(violations, ViolationKind.WaitContext, ViolationKind.HeldAtReturn, ViolationKind.HeldLockFreed)),
            new(
                "What is waited for without being a lock is a class of the order too: the end of work, of calls on a file, the last close.", Ground.Checked,
                $"{string.Join(", ", waits.Select(c => c.Name).Order(StringComparer.Ordinal))}: whoever has to end it holds the class meanwhile, so the statements before this one are about it as well.",
                []),
            new(
                "No set of callers waits in a circle, whatever their number.", Ground.Argued,
                "Let callers wait in a circle, each for what the next one holds. Of what they wait for take one whose class comes last; if there are several, the one with the highest number. Whoever holds it waits for something itself, "
                + "and that has a later class, or the same class and a higher number (2, 3, 5). So there is no last one, which cannot be in a finite circle (1). Tries do not wait; readers are taken for writers, which only adds orders.",
                []),
            new(
                "Every entry point takes the locks that the recorded runs show.", Ground.Assumed,
                Number($"{corpus.Entries.Count} entry points were called, {corpus.Entries.Values.Sum()} times, by up to eight callers at once, under {corpus.Profile.Name}. A branch that no run took is not covered; every new run checks it.")
                + (corpus.Missing.Count == 0 ? " No call is missing." : $" Never called: {string.Join(", ", corpus.Missing)}."),
                []),
            new(
                "The waits that have no class end.", Ground.Assumed,
                "A vCPU waits for an interrupt, a guest that stops for the calls of its threads, a caller for a scan that is running or for the answer to a request. "
                + "They are explored with few callers (x-wake, x-wake-pv, x-kvm, two-scans) and not argued about.",
                []),
            new(
                "Whoever holds a lock and waits for none goes on.", Ground.Assumed,
                "The scheduler runs it; timers fire; the hardware ends a reset, or the driver gives up on it (F12 is where 6.12 does not); user space closes what a removal asks for, without which a removal waits, and holds only the locks above \"last close\" (M128).",
                []),
        ];
    }

    private static string[] Reported(Violation[] violations, params ViolationKind[] kinds) =>
        [.. violations.Where(violation => kinds.Contains(violation.Kind)).Select(violation => violation.Summary + (violation.Finding is null ? "" : $" ({violation.Finding})"))];

    private static string Describe(LockOrderStatistics order) =>
        $"{order.Outer} → {order.Inner} at {order.First!.Taken.Site} is not declared{(order.Finding is null ? "" : $" ({order.Finding})")}";

    private static string Number(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    private static Dictionary<string, HashSet<string>> Closure(DeclaredOrder order)
    {
        ILookup<string, string> inner = order.Edges.ToLookup(edge => edge.Outer, edge => edge.Inner, StringComparer.Ordinal);
        Dictionary<string, HashSet<string>> below = new(StringComparer.Ordinal);
        foreach (string outer in inner.Select(group => group.Key))
        {
            HashSet<string> reached = new(StringComparer.Ordinal);
            Stack<string> left = new(inner[outer]);
            while (left.TryPop(out string? at))
            {
                if (!reached.Add(at))
                    continue;
                foreach (string next in inner[at])
                    left.Push(next);
            }
            below.Add(outer, reached);
        }
        return below;
    }
}
