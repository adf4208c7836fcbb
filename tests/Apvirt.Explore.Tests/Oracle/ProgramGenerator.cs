namespace Apvirt.Explore.Tests.Oracle;

/// <summary>What random programs are made of.</summary>
internal enum ProgramKind
{
    /// <summary>Everything: locks of all families, tries, events, and memory that decides.</summary>
    Mixed,

    /// <summary>Mutexes, spin locks and reader/writer locks, without tries.</summary>
    LocksOnly,

    /// <summary>Two readers that keep a reader/writer lock for long, beside short readers and a writer.</summary>
    Blocks,

    /// <summary>Waits that may time out, completions, and a little of the rest.</summary>
    Timers,
}

/// <summary>
/// Random programs. They are well-formed: a lock is released by the task that holds it, on every path, and no task takes
/// what it holds; what a skip passes over is balanced, or is the rest of the section that its try did not enter.
/// </summary>
internal static class ProgramGenerator
{
    /// <summary>A program, as for each task its instructions.</summary>
    internal static IReadOnlyList<IReadOnlyList<string>> Make(Random random, ProgramKind kind)
    {
        if (kind == ProgramKind.Blocks)
            return new BlockProgram(random).Make();
        int tasks = random.Next(20) switch { < 5 => 2, < 13 => 3, < 18 => 4, _ => 5 };
        int longest = tasks switch { 2 => 7, 3 => 6, 4 => 5, _ => 4 };
        // All steps at an event depend on each other, so programs of little else are large sooner.
        if (kind == ProgramKind.Timers)
            longest -= tasks - 2;
        Stretches stretches = new(random, Ingredients.For(random, kind));
        List<IReadOnlyList<string>> program = [];
        while (program.Count < tasks)
        {
            List<string> task = stretches.Make(random.Next(longest / 2, longest + 1));
            if (task.Count > 0)
                program.Add(task);
        }
        return program;
    }
}

/// <summary>The objects that a random program uses, and how often it does what.</summary>
internal sealed record Ingredients
{
    internal required string[] Mutexes { get; init; }

    internal required string[] Spins { get; init; }

    internal required string[] ReadWrites { get; init; }

    internal required string[] Events { get; init; }

    internal required string[] Memory { get; init; }

    /// <summary>Of a hundred locks taken, how many are tried.</summary>
    internal required int Tries { get; init; }

    /// <summary>Of a hundred sections, how many are as deep as they can be.</summary>
    internal int Deep { get; init; }

    /// <summary>Of a hundred waits, how many may time out.</summary>
    internal required int Timed { get; init; }

    /// <summary>How often a piece is a section of a lock, something of an event or an access to memory.</summary>
    internal required (int Sections, int Events, int Memory) Weights { get; init; }

    internal static Ingredients For(Random random, ProgramKind kind) => kind switch
    {
        ProgramKind.LocksOnly => new Ingredients
        {
            Mutexes = Some("m", random.Next(1, 4)),
            Spins = Some("l", random.Next(4) == 0 ? 1 : 0),
            ReadWrites = Some("s", random.Next(0, 3)),
            Events = [],
            Memory = [],
            Tries = 0,
            Timed = 0,
            Deep = 60,
            Weights = (1, 0, 0),
        },
        ProgramKind.Timers => new Ingredients
        {
            Mutexes = Some("m", random.Next(0, 2)),
            Spins = [],
            ReadWrites = Some("s", random.Next(0, 2)),
            Events = Some("e", random.Next(1, 3)),
            Memory = Some("x", random.Next(0, 2)),
            Tries = 20,
            Timed = 75,
            Weights = (2, 5, 2),
        },
        _ => new Ingredients
        {
            Mutexes = Some("m", random.Next(1, 3)),
            Spins = Some("l", random.Next(4) == 0 ? 1 : 0),
            ReadWrites = Some("s", random.Next(0, 3) == 0 ? 0 : 1),
            Events = Some("e", random.Next(0, 2)),
            Memory = Some("x", random.Next(0, 3)),
            Tries = 25,
            Timed = 30,
            Weights = (5, 2, 3),
        },
    };

    private static string[] Some(string name, int count) => [.. Enumerable.Range(0, count).Select(n => $"{name}{n}")];
}
