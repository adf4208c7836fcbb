using Apvirt.Explore.Engine;
using Apvirt.Explore.Programs;
using Apvirt.Explore.Searches;

namespace Apvirt.Explore.Tests.Programs;

/// <summary>What an engine finds of a program in words.</summary>
/// <param name="Result">How far it came.</param>
/// <param name="Outcomes">The different outcomes, sorted.</param>
internal sealed record Found(ExploreResult Result, IReadOnlyList<string> Outcomes)
{
    internal static Found Of(ProgramText text, ExploreOptions options)
    {
        SortedSet<string> outcomes = new(StringComparer.Ordinal);
        LockProgram program = text.Program;
        ExploreResult result = new Search(options, () =>
        {
            LockProgramRun run = new(program);
            return new SearchWorker(run, _ =>
            {
                lock (outcomes)
                    outcomes.Add(text.OutcomeOf(run));
                return true;
            });
        }).Run();
        return new Found(result, [.. outcomes]);
    }

    internal static ProgramText Read(IEnumerable<IEnumerable<string>> tasks, bool hasQueues = true)
    {
        ProgramText text = new() { HasQueues = hasQueues };
        int number = 1;
        foreach (IEnumerable<string> task in tasks)
            Assert.Null(text.Add($"T{number++}", [.. task], out _));
        return text;
    }
}
