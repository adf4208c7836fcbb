using System.Numerics;
using Apvirt.Explore.Engine;

namespace Apvirt.Explore.Scenarios;

/// <summary>Where another task goes on than would by itself.</summary>
/// <param name="Task">The task that did the last step; -1 if none did.</param>
/// <param name="Steps">How many steps it had done.</param>
/// <param name="To">The task that goes on.</param>
internal readonly record struct ScheduleSwitch(int Task, int Steps, int To);

/// <summary>Whose turn it is in an execution in which nobody switches without need: a task goes on as long as it can.</summary>
internal sealed class Turns
{
    private readonly int[] _steps = new int[KernelExplored.TasksMax];
    private int _last = -1;

    /// <summary>The task that goes on by itself.</summary>
    /// <param name="enabled">The tasks that can.</param>
    internal int Default(ulong enabled) =>
        _last >= 0 && (enabled >> _last & 1) != 0 ? _last : BitOperations.TrailingZeroCount(enabled);

    /// <summary>What it is if a task goes on here.</summary>
    internal ScheduleSwitch SwitchTo(int task) => new(_last, _last < 0 ? 0 : _steps[_last], task);

    /// <summary>A task does its step.</summary>
    internal void Add(int task)
    {
        _last = task;
        _steps[task]++;
    }
}
