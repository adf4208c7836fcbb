using Apvirt.Ap.Profiles;
using Apvirt.Host.Checks;
using Apvirt.Host.Fuzzing;
using Apvirt.Host.Traces;
using Apvirt.Kernel.Checking;

namespace Apvirt.Host.Arguments;

/// <summary>
/// The runs whose acquisitions the argument is about: random operations of every kind by several callers at once, the same ones each
/// time, and whatever traces are given (M135).
/// </summary>
/// <param name="profile">Whose quirks apply.</param>
public sealed class ArgumentCorpus(Profile profile)
{
    private const ulong Seed = 135;
    private const int Operations = 480;
    private const int Tasks = 8;

    private readonly SortedDictionary<string, long> _entries = new(StringComparer.Ordinal);

    /// <summary>How many plans of random operations are run unless it is said otherwise.</summary>
    public const int UsualEpisodes = 60;

    /// <summary>What was checked, and the orders that were learnt.</summary>
    public KernelChecks Checks { get; } = new(LockOrder.Declared);

    /// <summary>Whose quirks apply.</summary>
    public Profile Profile => profile;

    /// <summary>The entry points that were called, by name, and how often: calls, and attributes read or written.</summary>
    public IReadOnlyDictionary<string, long> Entries => _entries;

    /// <summary>The calls that no run made.</summary>
    public IReadOnlyList<string> Missing =>
        [.. TraceOperations.ByName.Values.Where(operation => !operation.IsPicture && operation.Name is not ("read" or "write") && !_entries.ContainsKey(operation.Name)).Select(operation => operation.Name).Order(StringComparer.Ordinal)];

    /// <summary>Runs a plan of random operations.</summary>
    /// <param name="episode">Which, from 0.</param>
    public void AddRandom(int episode)
    {
        FuzzPlan plan = FuzzPlan.Make(Seed, episode, Operations, Tasks, profile);
        foreach (FuzzStep step in plan.Steps)
        {
            using TraceLine line = OperationRunner.Parse(step.Text);
            Count(line);
        }
        FuzzRun.Run(plan, Checks, stopAtFirst: false);
    }

    /// <summary>Runs a trace.</summary>
    /// <param name="file">Its name, for errors.</param>
    /// <param name="text">The trace.</param>
    /// <returns>What is wrong with the trace; null if nothing is.</returns>
    public TraceError? AddTrace(string file, ReadOnlyMemory<byte> text) => TraceReplay.Run(file, text, (line, _) => Count(line), profile, Checks).Error;

    private void Count(TraceLine line)
    {
        if (line.IsPicture)
            return;
        string name = line.Name is "read" or "write" ? $"{line.Name} {line.Fields.Text("path").Split('/')[^1]}" : line.Name;
        _entries[name] = _entries.GetValueOrDefault(name) + 1;
    }
}
