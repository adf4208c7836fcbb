using Apvirt.Explore.Engine;
using Apvirt.Explore.Programs;
using Apvirt.Explore.Tests.Oracle;
using StepKind = Apvirt.Explore.Engine.StepKind;

namespace Apvirt.Explore.Tests.Programs;

/// <summary>The audit of keys speaks if what follows from what has a hole: each kind of step is left out once.</summary>
public sealed class AuditTests
{
    private const int ProgramsMax = 3_000;

    [Theory]
    [InlineData(StepKind.Read, ProgramKind.Mixed)]
    [InlineData(StepKind.Write, ProgramKind.Mixed)]
    [InlineData(StepKind.Ask, ProgramKind.Mixed)]
    [InlineData(StepKind.Try, ProgramKind.Mixed)]
    [InlineData(StepKind.TryShared, ProgramKind.Mixed)]
    [InlineData(StepKind.Unlock, ProgramKind.Mixed)]
    [InlineData(StepKind.Complete, ProgramKind.Timers)]
    [InlineData(StepKind.CompleteAll, ProgramKind.Timers)]
    [InlineData(StepKind.Reset, ProgramKind.Timers)]
    [InlineData(StepKind.WaitFor, ProgramKind.Timers)]
    internal void A_hole_makes_the_audit_speak(StepKind hole, ProgramKind kind)
    {
        Random random = new(7);
        for (int i = 0; i < ProgramsMax; i++)
        {
            ProgramText text = Found.Read(ProgramGenerator.Make(random, kind));
            ExploreOptions options = new() { Strategy = Strategy.Hashed, ExecutionsMax = 5_000 };
            Assert.Null(Found.Of(text, options).Result.Hole);
            if (Found.Of(text, options with { HoleInKeys = hole }).Result.Hole is { } schedules)
            {
                Assert.Contains(" | ", schedules, StringComparison.Ordinal);
                return;
            }
        }
        Assert.Fail($"none of {ProgramsMax} programs shows that {hole} is left out");
    }
}
