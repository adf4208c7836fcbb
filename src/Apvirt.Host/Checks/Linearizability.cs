using System.Text;
using Apvirt.Ap.Profiles;
using Apvirt.Host.Machines;
using Apvirt.Host.Traces;
using Apvirt.Kernel;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Host.Checks;

/// <summary>
/// V06: what operations answer that are under way at once, and the state that they leave, is what some order of them one
/// after another would give; an operation that ended before another began comes before it. EAGAIN asks the caller to come
/// again, so it fits anywhere if the operation changed nothing, and so does what an operation may answer because another is
/// under way (<see cref="OverlapAnswers"/>).
/// </summary>
/// <param name="Header">The machine: the first line of a trace.</param>
/// <param name="Profile">Whose quirks apply.</param>
/// <param name="Before">Operations that lead up to it, one after another.</param>
/// <param name="Concurrent">Operations at once, each in a task of its own; at most five.</param>
public sealed record Linearizability(string Header, Profile Profile, IReadOnlyList<string> Before, IReadOnlyList<string> Concurrent)
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(10);
    private static readonly TimeSpan Rest = TimeSpan.FromSeconds(5);

    /// <summary>Runs the operations at once in one order of steps, and looks for an order of operations that explains it.</summary>
    /// <param name="seed">Seed of the order of steps.</param>
    /// <returns>What cannot be explained; null if it can.</returns>
    public string? Check(ulong seed)
    {
        Outcome outcome = RunAtOnce(seed);
        // What ended before something else began comes before it.
        foreach (bool[] beside in Choices([.. Enumerable.Range(0, Concurrent.Count).Select(operation => FitsAnywhere(operation, outcome))]))
        {
            foreach (int[] order in OperationOrders.All(Concurrent.Count, outcome.Precedes))
            {
                if (RunInOrder(order, outcome, beside).Text == outcome.Text)
                    return null;
            }
        }
        StringBuilder text = new("no order of these operations gives these answers and this state:\n");
        for (int i = 0; i < Concurrent.Count; i++)
            text.Append("  ").Append(outcome.Answers[i]).Append('\n');
        return text.ToString();
    }

    private Outcome RunAtOnce(ulong seed)
    {
        (SimulationRuntime runtime, VirtualHost host, List<TraceLine> unfinished) = Prepare(seed);
        string[] answers = new string[Concurrent.Count];
        int[] begins = new int[Concurrent.Count];
        int[] ends = new int[Concurrent.Count];
        int clock = 0;
        for (int i = 0; i < Concurrent.Count; i++)
        {
            int own = i;
            runtime.Spawn($"operation {own}", async task =>
            {
                begins[own] = ++clock;
                answers[own] = await RunAsync(host, task, Concurrent[own]);
                ends[own] = ++clock;
            });
        }
        runtime.Run(() => Array.TrueForAll(ends, end => end > 0), Patience);
        runtime.Settle(Rest);
        for (int i = 0; i < answers.Length; i++)
            answers[i] ??= Concurrent[i] + " never ends";
        return new Outcome(OutcomeText.Of(host, answers), answers, begins, ends, unfinished);
    }

    // Which of those that may have changed nothing did: first none.
    private static IEnumerable<bool[]> Choices(bool[] possible)
    {
        int[] which = [.. Enumerable.Range(0, possible.Length).Where(i => possible[i])];
        for (int choice = 0; choice < 1 << which.Length; choice++)
        {
            bool[] chosen = new bool[possible.Length];
            for (int i = 0; i < which.Length; i++)
                chosen[which[i]] = (choice >> i & 1) != 0;
            yield return chosen;
        }
    }

    private Outcome RunInOrder(int[] order, Outcome outcome, bool[] beside)
    {
        (SimulationRuntime runtime, VirtualHost host, _) = Prepare(seed: 0);
        string[] answers = new string[Concurrent.Count];
        foreach (int i in order)
        {
            if (beside[i])
            {
                answers[i] = outcome.Answers[i];
                continue;
            }
            bool hasEnded = runtime.TryDrive(RunAsync(host, runtime.CreateTask("operation"), Concurrent[i]), Patience, out string? answer);
            answers[i] = hasEnded ? answer! : Concurrent[i] + " never ends";
            runtime.Settle(Rest);
        }
        return new Outcome(OutcomeText.Of(host, answers), answers, [], [], []);
    }

    private bool FitsAnywhere(int operation, Outcome outcome)
    {
        TraceLine own = OperationRunner.Parse(Concurrent[operation]);
        IEnumerable<TraceLine> others = outcome.Unfinished.Concat(Enumerable.Range(0, Concurrent.Count)
            .Where(other => other != operation && !outcome.Precedes(operation, other) && !outcome.Precedes(other, operation))
            .Select(other => OperationRunner.Parse(Concurrent[other])));
        return OverlapAnswers.Of(own, others).Append(Errno.EAGAIN)
            .Any(error => string.Equals(TraceWriter.Format(own, Answer.Of(error)), outcome.Answers[operation], StringComparison.Ordinal));
    }

    // What does not end goes on beside what follows.
    private (SimulationRuntime Runtime, VirtualHost Host, List<TraceLine> Unfinished) Prepare(ulong seed)
    {
        if (new TraceReader("history", Encoding.UTF8.GetBytes(Header)).ReadHeader(out TraceHeader? header) is { } error)
            throw new InvalidOperationException(error.ToString());
        // Only what is under way at once is interleaved, so that all runs begin alike.
        SimulationRuntime runtime = new(seed, preemptive: seed != 0);
        VirtualHost host = runtime.Drive(VirtualHost.BootAsync(runtime.CreateTask("boot"), header!.ToSetup() with { Profile = Profile }));
        List<TraceLine> unfinished = [];
        foreach (string operation in Before)
        {
            if (!runtime.TryDrive(RunAsync(host, runtime.CreateTask("before"), operation), Patience, out _))
                unfinished.Add(OperationRunner.Parse(operation));
            runtime.Settle(Rest);
        }
        return (runtime, host, unfinished);
    }

    private static async ValueTask<string> RunAsync(VirtualHost host, KernelTask task, string operation)
    {
        using TraceLine line = OperationRunner.Parse(operation);
        return (await OperationRunner.RunAsync(host, task, line)).Line;
    }

    private sealed record Outcome(string Text, string[] Answers, int[] Begins, int[] Ends, List<TraceLine> Unfinished)
    {
        internal bool Precedes(int one, int other) => Ends[one] > 0 && Ends[one] < Begins[other];
    }
}
