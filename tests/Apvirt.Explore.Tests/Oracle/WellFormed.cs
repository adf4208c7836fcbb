namespace Apvirt.Explore.Tests.Oracle;

/// <summary>Whether every path of every task takes and releases its locks as it must, whatever the answers are.</summary>
internal static class WellFormed
{
    /// <summary>What is wrong with a program.</summary>
    internal static IEnumerable<string> Complaints(OracleProgram program) =>
        program.Tasks.SelectMany((task, index) => Complaints(program, task, 0, []).Select(said => $"T{index + 1}: {said}")).Distinct(StringComparer.Ordinal);

    private static IEnumerable<string> Complaints(OracleProgram program, Instruction[] task, int at, Dictionary<int, StepKind> held)
    {
        if (at == task.Length)
            return held.Keys.Select(left => $"ends with {program.Objects[left].Name} held");
        Instruction instruction = task[at];
        int on = instruction.Object;
        StepKind? release = instruction.Kind switch
        {
            StepKind.Lock or StepKind.Try => StepKind.Unlock,
            StepKind.ReadLock or StepKind.TryRead => StepKind.ReadUnlock,
            StepKind.Grant or StepKind.TryWrite => StepKind.WriteUnlock,
            _ => null,
        };
        if (release is { } needed)
        {
            if (held.ContainsKey(on))
                return [$"'{instruction.Text}' takes what it holds"];
            IEnumerable<string> taken = Complaints(program, task, at + 1, new(held) { [on] = needed });
            return Semantics.HasAnswer(instruction.Kind) ? taken.Concat(Complaints(program, task, at + 1 + instruction.Skip, held)) : taken;
        }
        if (instruction.Kind is StepKind.Unlock or StepKind.ReadUnlock or StepKind.WriteUnlock)
        {
            if (!held.TryGetValue(on, out StepKind expected) || expected != instruction.Kind)
                return [$"'{instruction.Text}' releases what it does not hold"];
            Dictionary<int, StepKind> left = new(held);
            left.Remove(on);
            return Complaints(program, task, at + 1, left);
        }
        if (instruction.Kind is StepKind.Wait or StepKind.TimedWait && held.Keys.Any(name => program.Objects[name].Family == ObjectFamily.Spin))
            return [$"'{instruction.Text}' sleeps with a spin lock held"];
        IEnumerable<string> next = Complaints(program, task, at + 1, held);
        return instruction.Skip > 0 ? next.Concat(Complaints(program, task, at + 1 + instruction.Skip, held)) : next;
    }
}
