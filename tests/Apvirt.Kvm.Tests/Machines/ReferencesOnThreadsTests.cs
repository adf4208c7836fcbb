using Apvirt.Ap.Profiles;
using Apvirt.Kernel;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Machines;
using Apvirt.Kvm.Protection;

namespace Apvirt.Kvm.Tests.Machines;

/// <summary>References to a VM on real threads: who wants one comes while the last is given back (I16).</summary>
public sealed class ReferencesOnThreadsTests
{
    private const int Machines = 1_500;
    private const int Takers = 2;
    private const int Attempts = 50;

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    [Fact]
    public async Task Nobody_gets_a_reference_after_the_last_and_nobody_destroys_twice()
    {
        ProductionRuntime runtime = new(1);
        KernelTask owner = runtime.CreateTask("owner");
        Ultravisor ultravisor = new(runtime, hasAiv: true);
        VirtualMachine[] machines = [.. Enumerable.Range(0, Machines).Select(i => new VirtualMachine(
            runtime, $"g{i}", hostHasApxa: true, new VirtualMachineOptions { Ultravisor = ultravisor }))];
        // Whoever destroys a secure VM takes it out of the ultravisor's books, so that it shows how often that was.
        foreach (VirtualMachine machine in machines)
            Assert.Equal(Errno.Ok, await machine.Protection.RunAsync(owner, PvCommand.Enable, flags: 0, Profile.Strict));
        Assert.Equal((Machines, Machines), (ultravisor.Vms, ultravisor.Cpus));
        int taken = 0;
        int given = 0;
        int late = 0;
        SpawnedTask[] takers = [.. Enumerable.Range(0, Takers).Select(i => runtime.Spawn($"taker {i}", Take))];
        for (int i = 0; i < Machines; i++)
        {
            // Somebody is at it.
            SpinWait wait = default;
            while (Volatile.Read(ref taken) <= i)
                wait.SpinOnce(sleep1Threshold: -1);
            machines[i].Put(owner);
            Volatile.Write(ref given, i + 1);
        }
        foreach (SpawnedTask taker in takers)
            await taker.JoinAsync(owner).AsTask().WaitAsync(Patience);
        Assert.Equal(0, late);
        Assert.All(machines, machine => Assert.Equal((0, true), (machine.References, machine.Lock.IsRetired)));
        Assert.All(machines, machine => Assert.False(machine.TryGet(owner)));
        Assert.Equal((0, 0), (ultravisor.Vms, ultravisor.Cpus));

        ValueTask Take(KernelTask task)
        {
            for (int i = 0; i < Machines; i++)
            {
                // Not for ever: as long as one taker has a reference the other gets one.
                for (int attempts = 0; attempts < Attempts && machines[i].TryGet(task); attempts += Volatile.Read(ref given) > i ? 1 : 0)
                {
                    if (machines[i].Lock.IsRetired || machines[i].References < 1)
                        Interlocked.Increment(ref late);
                    Interlocked.CompareExchange(ref taken, i + 1, i);
                    machines[i].Put(task);
                }
            }
            return default;
        }
    }

    [Fact]
    public async Task As_many_references_as_are_taken_are_given_back()
    {
        const int Users = 3;
        const int Rounds = 50_000;
        ProductionRuntime runtime = new(1);
        KernelTask owner = runtime.CreateTask("owner");
        VirtualMachine machine = new(runtime, "g1", hostHasApxa: true, new VirtualMachineOptions());
        SpawnedTask[] users = [.. Enumerable.Range(0, Users).Select(i => runtime.Spawn($"user {i}", task =>
        {
            for (int round = 0; round < Rounds; round++)
            {
                if (machine.TryGet(task) && machine.TryGet(task))
                    machine.Put(task);
                machine.Put(task);
            }
            return default;
        }))];
        foreach (SpawnedTask user in users)
            await user.JoinAsync(owner).AsTask().WaitAsync(Patience);
        Assert.Equal((1, false), (machine.References, machine.Lock.IsRetired));
        machine.Put(owner);
        Assert.Equal((0, true), (machine.References, machine.Lock.IsRetired));
    }
}
