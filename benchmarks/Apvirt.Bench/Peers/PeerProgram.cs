using System.Globalization;
using Apvirt.Explore.Engine;
using Apvirt.Explore.Programs;

namespace Apvirt.Bench.Peers;

/// <summary>A program of mutexes that all tools explore, in the form that each of them reads.</summary>
/// <param name="known">The program and its known answers.</param>
internal sealed class PeerProgram(KnownProgram known)
{
    // By number, as KnownPrograms has them for the programs compared here; S2-bug's matrix lock has the number of mdevs.
    private static readonly string[] Names = ["vcpu", "mdevs", "kvm", "guests", "perms", "vcpu2"];

    /// <summary>The programs compared.</summary>
    internal static IReadOnlyList<PeerProgram> All { get; } =
        [.. new[] { "S2-bug", "S2-fixed", "S3-6" }.Select(name => new PeerProgram(KnownPrograms.All.Single(known => known.Name == name)))];

    /// <summary>The program and its known answers.</summary>
    internal KnownProgram Known => known;

    /// <summary>Its name.</summary>
    internal string Name => known.Name;

    /// <summary>Whether it can come to a deadlock.</summary>
    internal bool CanDeadlock => known.Deadlocked > 0;

    /// <summary>In words, with the names of tasks and locks.</summary>
    internal ProgramText Text
    {
        get
        {
            ProgramText text = new();
            for (int task = 0; task < known.Program.Tasks.Length; task++)
            {
                string[] words = [.. known.Program.Tasks[task].Select(instruction => (IsLock(instruction) ? "lock " : "unlock ") + Names[instruction.Object])];
                if (text.Add($"T{task + 1}", words, out _) is { } error)
                    throw new InvalidOperationException(error);
            }
            return text;
        }
    }

    /// <summary>For the program that Coyote rewrites: numbers, below 0 for releases; instructions apart by commas, tasks by semicolons.</summary>
    internal string Numbers => string.Join(';', known.Program.Tasks.Select(code => string.Join(',', code.Select(instruction =>
        ((instruction.Object + 1) * (IsLock(instruction) ? 1 : -1)).ToString(CultureInfo.InvariantCulture)))));

    /// <summary>In Promela. Taking a lock is one step, as it is for the others.</summary>
    internal string Promela
    {
        get
        {
            string[] locks = Names[..known.Program.Objects];
            StringWriter model = new();
            foreach (string name in locks)
                model.WriteLine($"bool {name};");
            model.WriteLine("inline take(l) { atomic { !l -> l = true } }");
            for (int task = 0; task < known.Program.Tasks.Length; task++)
            {
                string[] code = [.. known.Program.Tasks[task].Select(instruction =>
                    IsLock(instruction) ? $"take({Names[instruction.Object]})" : $"{Names[instruction.Object]} = false")];
                model.WriteLine($"active proctype T{task + 1}() {{ {string.Join("; ", code)} }}");
            }
            return model.ToString();
        }
    }

    private static bool IsLock(Instruction instruction) => instruction.Kind switch
    {
        StepKind.Lock => true,
        StepKind.Unlock => false,
        _ => throw new InvalidOperationException($"{instruction.Kind} is not for all tools"),
    };
}
