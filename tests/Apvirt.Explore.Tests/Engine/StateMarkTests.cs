using System.Collections.Immutable;
using System.Numerics;
using Apvirt.Ap.Profiles;
using Apvirt.Explore.Engine;
using Apvirt.Explore.Scenarios;
using Apvirt.Explore.Tests.Scenarios;
using Apvirt.Kernel.Runtime;

namespace Apvirt.Explore.Tests.Engine;

/// <summary>An execution that begins with a state brought back is the one that begins with a machine booted anew.</summary>
public sealed class StateMarkTests
{
    private const int Runs = 40;

    private struct Pair
    {
        internal int Number;
        internal Node? Node;
    }

    private sealed class Node
    {
        private Pair _pair;

        internal int Value { get; set; }

        internal List<Node> Nodes { get; } = [];

        internal Dictionary<string, int> Numbers { get; } = [];

        internal ImmutableArray<Node> Fixed { get; set; } = [];

        internal Func<int>? Read { get; set; }

        internal ref Pair Pair => ref _pair;
    }

    public static TheoryData<string> Names =>
        [.. Directory.GetFiles(ScenarioFiles.Folder("scenarios"), "x-*.yaml").Select(file => Path.GetFileName(file)).Order(StringComparer.Ordinal)];

    [Fact]
    public void Everything_that_can_be_reached_is_brought_back()
    {
        int captured = 1;
        Node root = new() { Value = 1, Fixed = [new Node { Value = 2 }], Read = () => captured };
        root.Nodes.Add(new Node { Value = 3 });
        root.Numbers["a"] = 4;
        root.Pair = new Pair { Number = 5, Node = new Node { Value = 6 } };
        Node outside = new() { Value = 7 };
        root.Nodes.Add(outside);
        StateMark mark = new([root], [outside]);

        for (int i = 0; i < 3; i++)
        {
            (Node inList, Node inArray, Node inPair) = (root.Nodes[0], root.Fixed[0], root.Pair.Node!);
            (root.Value, inList.Value, inArray.Value, inPair.Value, outside.Value, captured) = (-1, -1, -1, -1, -1, -1);
            root.Nodes.Clear();
            for (int n = 0; n < 100; n++)
                root.Numbers[$"n{n}"] = n;
            root.Numbers.Remove("a");
            root.Fixed = [];
            root.Pair = default;
            mark.Restore();
            Assert.Equal((1, 5, 1), (root.Value, root.Pair.Number, root.Read()));
            Assert.Equal([inList, outside], root.Nodes);
            Assert.Equal([inArray], root.Fixed);
            Assert.Same(inPair, root.Pair.Node);
            Assert.Equal((3, 2, 6), (inList.Value, inArray.Value, inPair.Value));
            Assert.Equal(KeyValuePair.Create("a", 4), Assert.Single(root.Numbers));
            Assert.Equal(-1, outside.Value);
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void An_execution_is_the_same_whether_the_host_was_booted_or_brought_back(string name)
    {
        foreach (Profile profile in Profile.All)
        {
            Scenario scenario = ScenarioFiles.Read("scenarios", name) with { Profile = profile };
            ObjectNumbers numbers = new();
            TaskNumbers tasks = new(KernelExplored.TasksMax);
            using ScenarioWorker broughtBack = new(scenario, orders: null, points: null, numbers, tasks);
            for (ulong seed = 0; seed < Runs; seed++)
            {
                using ScenarioWorker booted = new(scenario, orders: null, points: null, numbers, tasks);
                Assert.Equal(Draw(booted, seed), Draw(broughtBack, seed));
            }
        }
    }

    // The steps of a drawn schedule, with what was accessed in each, and the outcome.
    private static List<string> Draw(ScenarioWorker worker, ulong seed)
    {
        SplitMix random = new(seed);
        List<string> steps = [];
        worker.Program.Restart();
        while (worker.Program.Enabled is not 0 and var enabled)
        {
            for (int left = random.Below(BitOperations.PopCount(enabled)); left > 0; left--)
                enabled &= enabled - 1;
            int task = BitOperations.TrailingZeroCount(enabled);
            steps.Add($"{task} {worker.Program.Next(task).Kind} {worker.Program.NameOf(worker.Program.Next(task))}");
            worker.Program.Do(task);
            steps.Add(string.Join(' ', worker.Program.Accessed.ToArray().Select(step => $"{step.Kind} {worker.Program.NameOf(step)}")));
        }
        steps.Add(worker.Outcome());
        return steps;
    }
}
